"""A search on a folder of images: yours, or toy images that this script draws.

    python examples/own_images.py [--data FOLDER] [--budget 200] [--epochs 20] [--out results/example-images]

FOLDER holds images and a labels.csv with the columns file, label and site. The toy images show a ring or a cross; those
of the site `south` are darker, so that networks serve it worse.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

import evo_fair as ef

PROBLEM = """
title = "my images, fairness between sites"
[data]
source = "image_folder"
image_size = 16
[fairness]
group = "site"
report = ["class"]
[space]
channel_multiple = 8
stem = { widths = [8, 16], stride = 2 }
[[space.stage]]
slots = 2
kinds = ["MB", "DB", "RB", "CB"]
widths = [16, 24]
stride = 2
kernels = { MB = [3, 5], DB = [3, 5] }
expansions = [2, 3]
keep_channels = [16, 24, 32, 48]
[training]
epochs = EPOCHS
batch_size = 32
learning_rate = 0.05
[search]
objectives = ["error", "unfairness", "latency_ms"]
budget = 200
population = 16
"""


def main() -> None:
    """Draws toy images where none are given, writes the problem file, searches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("results/example-images"))
    arguments = parser.parse_args()

    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    data = arguments.data
    if data is None:
        data = arguments.out.parent / "toy-images"
        draw_toy_images(data)
    problem_file = arguments.out.parent / "own-images.toml"
    problem_file.write_text(PROBLEM.replace("EPOCHS", str(arguments.epochs)), encoding="utf-8")

    problem = ef.load_problem(problem_file, data=data)
    run = ef.search(problem, budget=arguments.budget, seed=0, out=arguments.out)
    print(run.front[["id", "error", "unfairness", "latency_ms"]])


def draw_toy_images(folder: Path, each: int = 80) -> None:
    """Writes 16x16 images of rings and crosses of two sites, `each` of a kind, and their labels.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-8:8, -8:8] + 0.5
    shapes = {"ring": abs(np.hypot(x, y) - 5) < 1.5, "cross": abs(abs(x) - abs(y)) < 1.5}
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "label", "site"])
        for label, shape in shapes.items():
            for site, brightness in (("north", 120), ("south", 30)):
                for number in range(each):
                    name = f"{site}-{label}-{number}.png"
                    grey = np.roll(shape, rng.integers(-2, 3, 2), (0, 1)) * brightness + rng.integers(0, 90, (16, 16))
                    Image.fromarray(grey.astype(np.uint8)).save(folder / name)
                    writer.writerow([name, label, site])


if __name__ == "__main__":
    main()
