"""CIFAR-10 as JPEG files, as it is or with a long tail of classes in its training part.

Krizhevsky: Learning Multiple Layers of Features from Tiny Images (2009). Figures on JPEGs, which lose a little, are
not comparable with those on the original. Long tails after Cui et al. 2019: Class-Balanced Loss.
"""

import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image

from evo_fair.data.dataset import Dataset, class_grouping
from evo_fair.data.decoding import quiet
from evo_fair.errors import DataError, in_a_line
from evo_fair.files import atomic_write, cache_folder, digest

__all__ = ["CLASSES", "load_cifar10", "load_cifar10_lt", "long_tail"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMBALANCE = 50
"""How many times as many training samples the first class has as the last."""

VALIDATION = 500
"""Images of each class of the download's training part that become the validation part."""

SIZE = 32
_ARCHIVES = ("cifar10_jpg.tar.xz", "cifar10_jpg.tar")
_AGAIN = "get the archive, or the folders train/CLASS and test/CLASS that it unpacks to, again"
_LARGEST_FILE = 2**20
_MOST_UNPACKED = 2**30
"""Bytes of the whole archive, unpacked: the real one has 0.2 GB, and a small .xz file can hold terabytes."""


def load_cifar10(folder: Path, image_size: int, rng: np.random.Generator) -> Dataset:
    """CIFAR-10; every class is as frequent as the others in each part.

    Of the download's training images of a class 500 are the validation part, the others
    the training part: 45,000, 5,000 and 10,000 images in all. The validation and test
    parts are those of `load_cifar10_lt`.

    Args:
        folder: The folder of the download.
        image_size: Pixels a side.
        rng: The Generator that the validation part is drawn with.

    Returns:
        Inputs uint8 `[samples, 3, image_size, image_size]`.

    Raises:
        DataError: Something in the folder is missing or damaged.
    """
    return _load("cifar10", folder, image_size, rng, lambda most: [most] * len(CLASSES))


def load_cifar10_lt(folder: Path, image_size: int, rng: np.random.Generator) -> Dataset:
    """CIFAR-10 with training classes that fall off to 1/50; the other parts are balanced.

    Of the download's training images of a class 500 are the validation part; of the
    rest, class `i` keeps a share of 50 ** (-i / 9). The test part is the download's.

    Args:
        folder: The folder of the download.
        image_size: Pixels a side.
        rng: The Generator that the samples are drawn with.

    Returns:
        Inputs uint8 `[samples, 3, image_size, image_size]`.

    Raises:
        DataError: Something in the folder is missing or damaged.
    """
    return _load("cifar10_lt", folder, image_size, rng, long_tail)


def long_tail(most: int) -> list[int]:
    """How many training samples each class has, in the order of `CLASSES`: first `most`, last a fiftieth of it."""
    last = len(CLASSES) - 1
    return [round(most * IMBALANCE ** (-label / last)) for label in range(len(CLASSES))]


def _load(
    name: str, folder: Path, image_size: int, rng: np.random.Generator, sizes: Callable[[int], list[int]]
) -> Dataset:
    """The data set; `sizes` says how many training images of each class are kept where there are so many of it."""
    images, labels, tested = _read(folder)
    split = np.full(len(labels), 2, np.int8)
    chosen = np.zeros(len(labels), np.bool_)
    chosen[tested] = True
    for label in range(len(CLASSES)):
        own = rng.permutation(np.flatnonzero((labels == label) & ~tested))
        if len(own) <= VALIDATION:
            raise DataError(
                f"{folder}: {len(own)} training images of {CLASSES[label]}, more than {VALIDATION} needed; {_AGAIN}"
            )
        kept = sizes(len(own) - VALIDATION)[label]
        split[own[:VALIDATION]], split[own[VALIDATION:]] = 1, 0
        chosen[own[: VALIDATION + kept]] = True
    inputs = images[chosen]
    if image_size != SIZE:
        inputs = np.stack([_resized(image, image_size) for image in inputs])
    kept_labels = labels[chosen]
    return Dataset(
        name=name,
        inputs=inputs,
        labels=kept_labels,
        label_names=CLASSES,
        groupings={"class": class_grouping(kept_labels, CLASSES)},
        split=split[chosen],
        units=np.arange(len(kept_labels)),
        positive=(),
        licence="CIFAR-10 (Krizhevsky 2009), for research; its terms name no licence",
    )


def _read(folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Images `[n, 3, 32, 32]` in the order of their names, their labels and whether they are of the test part."""
    archive = next((folder / name for name in _ARCHIVES if (folder / name).is_file()), None)
    if archive is None and not (folder / "train").is_dir():
        raise DataError(f"{folder} has neither {_ARCHIVES[0]} nor a folder train: {_AGAIN}")
    files = [archive] if archive else _unpacked(folder)
    cached = cache_folder("images") / f"cifar10-{digest(*_stamps(files))[:20]}.npz"
    try:
        with np.load(cached, allow_pickle=False) as stored:
            return stored["images"], stored["labels"], stored["tested"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        pass
    found = sorted(_archived(archive) if archive else ((_name(folder, file), file.read_bytes()) for file in files))
    if not found:
        raise DataError(f"{archive or folder} holds no images: {_AGAIN}")
    with quiet():
        images = np.stack([_decoded(content, name) for name, content in found])
    parts = [name.split("/") for name, _ in found]
    labels = np.array([CLASSES.index(part[1]) for part in parts], np.int64)
    tested = np.array([part[0] == "test" for part in parts])
    if not np.bincount(labels[tested], minlength=len(CLASSES)).all():
        raise DataError(f"{archive or folder} lacks test images of a class: {_AGAIN}")
    with atomic_write(cached) as temporary, temporary.open("wb") as file:
        np.savez(file, images=images, labels=labels, tested=tested)
    return images, labels, tested


def _stamps(files: list[Path]) -> Iterator[str | bytes]:
    for file in files:
        about = file.stat()
        yield from (os.fsencode(file), str(about.st_size), str(about.st_mtime_ns))  # a name can be no text


class _Limited(io.RawIOBase):
    """The bytes of a stream, up to `_MOST_UNPACKED`; raises `OSError` where more are asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= 16 * _LARGEST_FILE:  # a header can say any size, too
            raise OSError(f"a part of it says to have {size:,} bytes")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def _check(self, place: int) -> None:
        if place > _MOST_UNPACKED:
            raise OSError(f"it unpacks to more than {_MOST_UNPACKED:,} bytes")


def _archived(archive: Path) -> Iterator[tuple[str, bytes]]:
    unpack: Callable[..., Any] = lzma.open if archive.suffix == ".xz" else Path.open
    try:
        with unpack(archive, "rb") as stream, tarfile.open(fileobj=_Limited(stream), mode="r:") as tar:
            for member in tar:
                if member.isfile() and _is_image(member.name):
                    if member.size > _LARGEST_FILE:
                        raise DataError(f"{member.name} in {archive} has {member.size} bytes: {_AGAIN}")
                    stream = tar.extractfile(member)
                    assert stream is not None
                    yield _short(member.name), stream.read()
    except (tarfile.TarError, lzma.LZMAError, OSError, EOFError) as reason:
        raise DataError(f"{archive} is not a whole archive ({reason}): {_AGAIN}") from reason


def _unpacked(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("t*/*/*") if _is_image(_name(folder, path)) and path.is_file())


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _short(name: str) -> str:
    return "/".join(name.removeprefix("./").split("/")[-3:])


def _is_image(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    known = len(parts) >= 3 and parts[-3] in ("train", "test") and parts[-2] in CLASSES
    return known and parts[-1].lower().endswith((".jpg", ".jpeg", ".png"))


def _decoded(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as opened:
            if opened.size != (SIZE, SIZE):  # before the pixels of what may be a very large one are decoded
                raise ValueError(f"it has {opened.width:,} x {opened.height:,} pixels, expected {SIZE} x {SIZE}")
            pixels = np.asarray(opened.convert("RGB"), np.uint8)
    except Exception as reason:  # image readers raise errors of many kinds on damaged files
        raise DataError(f"{name} does not open ({in_a_line(reason)}): {_AGAIN}") from reason
    return pixels.transpose(2, 0, 1)


def _resized(image: npt.NDArray[np.uint8], image_size: int) -> npt.NDArray[np.uint8]:
    small = Image.fromarray(image.transpose(1, 2, 0)).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(small, np.uint8).transpose(2, 0, 1)
