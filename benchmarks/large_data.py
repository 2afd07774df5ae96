"""Large data: what reading a labels.csv takes, decoding its images, and training and searching on them.

    python benchmarks/large_data.py [--images 20000] [--size 224] [--rows 200000] [--epochs 1] [--budget 96]
                                    [--parts labels decode train search] [--folder DIR]

Makes a folder of synthetic JPEGs, of --size pixels and a quarter more, once. Each part runs in a process of its own:

  labels   reads a labels.csv of --rows rows, of files that are there but empty, with every check; nothing is decoded
  decode   decodes the images into the cache, with all cores
  train    trains the supernet of the problem image_folder for --epochs epochs
  search   searches with --budget networks, and writes the front

For each: seconds of wall time and of the processors, and the most memory besides the page cache (RssAnon of Linux,
which leaves out files that are mapped). Writes results/benchmarks/large_data.csv after each part; what it holds of
other parts, with the same settings, stays.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from provenance import made_by, run

from evo_fair.data import image_folder
from evo_fair.data.image_cache import DecodedImages
from evo_fair.errors import EvoFairError
from evo_fair.files import write_text
from evo_fair.jobs.search import search
from evo_fair.jobs.train import train
from evo_fair.problem import Problem, load_problem

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks" / "large_data.csv"
PARTS = ("labels", "decode", "train", "search")
SITES, LABELS, FOLDERS = ("north", "south", "east"), 7, 100
_LOOKS = 0.02
"""Seconds between two looks at the memory."""


def main() -> None:
    """Measures, prints and writes."""
    arguments = parsed()
    if arguments.one:
        print(json.dumps(measured(lambda: part(arguments, arguments.one))))
        return
    command = f"benchmarks/large_data.py --images {arguments.images} --size {arguments.size} --rows {arguments.rows}"
    command += f" --epochs {arguments.epochs} --budget {arguments.budget}"
    made = made_by(command, ("numpy", "torch", "pandas"))
    rows = kept_rows(command)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        make_images(folder / "images", arguments.images, arguments.size)
        if "labels" in arguments.parts:
            make_files(folder / "labels", arguments.rows)
        for name in arguments.parts:
            own = ["--images", arguments.images, "--size", arguments.size, "--rows", arguments.rows]
            own += ["--epochs", arguments.epochs, "--budget", arguments.budget, "--folder", folder, "--one", name]
            environment = os.environ | {"EVO_FAIR_CACHE": str(folder / "cache")}
            done = subprocess.run([sys.executable, __file__, *map(str, own)], env=environment, stdout=subprocess.PIPE)
            if done.returncode:
                raise EvoFairError(f"{name} ended with {done.returncode}: see above")
            rows[name] = {"part": name, **json.loads(done.stdout.splitlines()[-1])}
            print(rows[name], flush=True)
            table = pd.DataFrame([rows[part] for part in PARTS if part in rows])
            write_text(RESULTS, f"# {made}\n{table.to_csv(index=False, lineterminator=chr(10))}")


def kept_rows(command: str) -> dict[str, dict[Hashable, float | str]]:
    """The rows that this command wrote earlier, by part."""
    if not RESULTS.is_file() or not RESULTS.read_text().startswith(f"# {command};"):
        return {}
    return {row["part"]: row for row in pd.read_csv(RESULTS, comment="#").to_dict("records")}


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--budget", type=int, default=96)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--folder", type=Path, help="where the images are made and kept; default: a temporary one")
    parser.add_argument("--one", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_images(folder: Path, images: int, size: int) -> None:
    """Writes JPEGs of coloured blotches, and their table; takes those that are there."""
    if (folder / "labels.csv").is_file():
        return
    rng = np.random.default_rng(0)
    lines = ["file,label,site"]
    for number in range(images):
        place = Path(f"{number % FOLDERS}") / f"{number}.jpg"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        blotches = Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8))
        blotches.resize((size * 5 // 4, size * 5 // 4), Image.Resampling.BICUBIC).save(folder / place, quality=85)
        lines.append(f"{place},{number % LABELS},{SITES[number % len(SITES)]}")
    write_text(folder / "labels.csv", "\n".join(lines) + "\n")


def make_files(folder: Path, rows: int) -> None:
    """Makes empty files and a table of them, with two columns of groups and one of units."""
    lines = ["file,label,site,age,unit"]
    for number in range(rows):
        place = Path(f"{number % FOLDERS}") / f"{number}.jpg"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()
        lines.append(f"{place},{number % LABELS},{SITES[number % len(SITES)]},{number % 2},unit {number // 3}")
    write_text(folder / "labels.csv", "\n".join(lines) + "\n")


def part(arguments: argparse.Namespace, name: str) -> None:
    """Does one part."""
    folder = arguments.folder / "images"
    if name == "labels":
        image_folder.decode_images = undecoded
        image_folder.load_image_folder(
            "labels", arguments.folder / "labels", 8, (0.65, 0.15, 0.2), np.random.default_rng(0)
        )
    elif name == "decode":
        problem_of(folder, arguments).dataset()
    elif name == "train":
        train(problem_of(folder, arguments))
    else:
        with tempfile.TemporaryDirectory() as out:
            search(problem_of(folder, arguments), out=Path(out) / "run", budget=arguments.budget)


def undecoded(_: str, images: list[object], image_size: int) -> DecodedImages:
    """Stands for images that take no time to decode."""
    pixels = np.broadcast_to(np.zeros(1, np.uint8), (len(images), 3, image_size, image_size))
    return DecodedImages(pixels, np.arange(2 * len(images), dtype=np.uint64).reshape(-1, 2).view(np.uint8))


def problem_of(folder: Path, arguments: argparse.Namespace) -> Problem:
    """The problem image_folder, on images of this size."""
    problem = load_problem("image_folder", data=folder)
    return problem.model_copy(
        update={
            "data": problem.data.model_copy(update={"image_size": arguments.size}),
            "training": problem.training.model_copy(update={"epochs": arguments.epochs}),
        }
    )


def measured(work: Callable[[], None]) -> dict[str, float]:
    """Seconds, and the most memory besides the page cache in MiB, of this process at work."""
    most, done = [0.0], threading.Event()

    def look() -> None:
        while not done.wait(_LOOKS):
            status = Path("/proc/self/status").read_text()
            most[0] = max(most[0], float(status.split("RssAnon:")[1].split()[0]) / 1024)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    taken = {"seconds": round(time.perf_counter() - wall, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    done.set()
    looking.join()
    return taken | {"most_mib": round(most[0])}


if __name__ == "__main__":
    run(main)
