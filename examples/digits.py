"""From handwritten digits to a trained, exported and measured network.

python examples/digits.py [--budget 300] [--epochs 10] [--out results/example-digits]
"""

import argparse

import evo_fair as ef


def main() -> None:
    """Searches, chooses, deploys."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="digits")
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", default="results/example-digits")
    arguments = parser.parse_args()

    # The first search trains the supernet; later ones find it in the cache.
    run = ef.search(arguments.problem, budget=arguments.budget, seed=0, out=arguments.out)
    print(run.front[["id", "error", "unfairness", "latency_ms"]])
    for sentence in run.findings:
        print(sentence)

    # The limits are declared before anyone looks at the front.
    chosen = run.operating_point(["accuracy >= 0.5"], minimise="latency_ms")
    networks = None if chosen is None else [str(chosen["id"])]

    # Trained on, exported, checked, timed here; the figures are of the test part.
    deployed = ef.deploy(run, networks=networks, epochs=arguments.epochs)
    print(deployed[["id", "accuracy", "accuracy_low", "accuracy_high", "measured_ms"]])


if __name__ == "__main__":
    main()
