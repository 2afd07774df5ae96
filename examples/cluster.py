"""A pruning whose pieces several workers make: processes of this machine, or the workers of a cluster.

python examples/cluster.py [--workers 2] [--epochs 5] [--out results/example-cluster]

WORKERS is a number of processes, or the address of a Dask scheduler, such as tcp://lab-1:8786. `docs/how-to/cluster.md`
says how to start one by ssh, on Slurm or on Kubernetes. What comes out is the same, byte for byte.
"""

import argparse

import evo_fair as ef


def main() -> None:
    """Prunes the digits' largest network to two sparsities, each a piece of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", default="digits")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", default="results/example-cluster")
    arguments = parser.parse_args()

    with ef.progress_bars() as bars:
        table = ef.prune(
            arguments.problem,
            sparsities=[0.3, 0.6],
            epochs=arguments.epochs,
            workers=arguments.workers,
            out=arguments.out,
            listener=bars,
        )
    print(table[["name", "sparsity", "accuracy", "worst_group_accuracy"]])


if __name__ == "__main__":
    main()
