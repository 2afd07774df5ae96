"""A profile for a board: the kit, the measurements (made up here), the fit, and a prediction.

    python examples/board_by_kit.py [--out results/example-board]

On a real board, copy the kit there, run its measure.py, and copy latency.csv back.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import evo_fair as ef
from evo_fair.cli import main as command


def main() -> None:
    """Writes the kit, makes up what the board would have measured, fits a profile and asks it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/example-board"))
    out = parser.parse_args().out
    kit, profile_file = out / "kit", out / "board.json"
    out.mkdir(parents=True, exist_ok=True)

    evo_fair("calibrate", "--kit", kit, "--problem", "digits", "--name", "board")
    names, table = ef.read_layers(kit / "layers.csv")

    # A board 1.5 times as slow as a Raspberry Pi 4, whose clock is 2 % off from one network to the next.
    rng = np.random.default_rng(0)
    milliseconds = 1.5 * ef.load_profile("raspberry-pi-4").latency_ms(table) * rng.normal(1, 0.02, len(names))
    pd.DataFrame({"network": names, "latency_ms": milliseconds}).to_csv(kit / "latency.csv", index=False)

    measured = ("--layers", kit / "layers.csv", "--latency", kit / "latency.csv")
    evo_fair("calibrate", *measured, "--name", "board", "--runtime", "made up", "--out", profile_file)
    network = next((kit / "networks").glob("*.onnx"))
    evo_fair("predict", network, "--device", profile_file)


def evo_fair(*arguments: object) -> None:
    """Runs a command of evo_fair, as a shell would; raises if it fails."""
    try:
        command([str(argument) for argument in arguments])
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    main()
