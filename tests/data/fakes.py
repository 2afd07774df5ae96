"""Small made-up downloads in the form of the real ones."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

HEADER = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def jpeg(seed: int, size: tuple[int, int] = (20, 15)) -> bytes:
    """A JPEG of one colour, another for each seed."""
    colour = tuple(int(c) for c in np.random.default_rng(seed).integers(0, 256, 3))
    return encoded(Image.new("RGB", size, colour), "JPEG")


def encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def write_table(path: Path, rows: Iterable[Iterable[object]], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


def ham_rows(lesions: int = 14) -> list[list[str]]:
    """Fourteen lesions of each diagnosis, every third with two images; ages 20, 45, 70 and sexes in turn."""
    rows = []
    for diagnosis in DIAGNOSES:
        for lesion in range(lesions):
            for _ in range(2 if lesion % 3 == 0 else 1):
                image = f"ISIC_{24306 + len(rows):07d}"
                age, sex = ("20.0", "45.0", "70.0")[lesion % 3], ("male", "female")[lesion % 2]
                rows.append([f"HAM_{diagnosis}_{lesion}", image, diagnosis, "histo", age, sex, "back"])
    return rows


def write_ham(folder: Path, rows: list[list[str]] | None = None) -> list[list[str]]:
    """A HAM10000 download of two zips and a table; returns the table's rows."""
    rows = ham_rows() if rows is None else rows
    folder.mkdir(exist_ok=True)
    half = len(rows) // 2
    for number, part in ((1, rows[:half]), (2, rows[half:])):
        with ZipFile(folder / f"HAM10000_images_part_{number}.zip", "w") as archive:
            for row in part:
                archive.writestr(f"{row[1]}.jpg", jpeg(int(row[1][5:])))
    write_table(folder / "HAM10000_metadata.csv", [HEADER, *rows])
    return rows
