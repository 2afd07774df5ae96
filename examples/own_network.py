"""A search of what pruning can leave of a trained network of your own.

python examples/own_network.py [--budget 60] [--out results/example-network]

The network is a `torch.nn.Module` as people write them. It is trained first, by the problem's recipe; `weights` would
name a safetensors file with its trained weights instead.
"""

import argparse

from torch import nn

import evo_fair as ef


def network() -> nn.Module:
    """A small network for images of one channel and 8 by 8 pixels, with ten labels."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def main() -> None:
    """Searches the network's pruned forms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", default="digits")
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--out", default="results/example-network")
    arguments = parser.parse_args()

    own = f"{__file__}:network"  # the file's function; on the command line --module own_network.py:network
    run = ef.search(arguments.problem, module=own, orders=["taylor"], budget=arguments.budget, out=arguments.out)
    print(run.front[["id", "error", "unfairness", "latency_ms", "params"]])
    print("train some of them on with: evo-fair deploy", run.path, "--module", own)


if __name__ == "__main__":
    main()
