"""Decoding images from folders and zip archives, once: the decoded array is kept in the user's cache."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

from joblib import cpu_count

from evo_fair.data.decoding import decode_pixels, quiet
from evo_fair.data.image_cache import DecodedImages, read_images, write_images
from evo_fair.data.progress import tell
from evo_fair.errors import DataError, in_a_line
from evo_fair.files import cache_folder
from evo_fair.lock import held

__all__ = ["IMAGE_SUFFIXES", "ImageFile", "decode_images", "list_folder", "list_zip"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_LARGEST_FILE = 256 * 2**20
_MOST_DAMAGED = 1000
"""Damaged images, beside the first, after which no more are looked for: something is wrong with all of them."""
_SHOWN = 5
_AHEAD = 8
"""Images a core that are decoded ahead of the one to write."""

_RECIPE = "whole image, RGB on white, bilinear with antialiasing, version 2"  # part of the cache's key


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file: `path` itself, or the `member` of the archive `path`; `stamp` is its CRC or time of change."""

    path: Path
    member: str | None
    size: int
    stamp: int

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return Path(self.member or self.path).name

    def __str__(self) -> str:
        return f"{self.member} in {self.path}" if self.member else str(self.path)


class _Damaged(NamedTuple):
    """An image that can't be read, and why: a `fault` to stand behind its name."""

    image: ImageFile
    fault: str


def list_zip(path: Path) -> dict[str, ImageFile]:
    """The images in a zip archive by their name without suffix; raises `DataError` for a damaged archive."""
    with _open_zip(path) as archive:
        found = [
            ImageFile(path, info.filename, info.file_size, info.CRC)
            for info in archive.infolist()
            if _is_image(Path(info.filename))
        ]
    return {Path(image.name).stem: image for image in reversed(found)}


def list_folder(folder: Path) -> dict[str, ImageFile]:
    """The images directly in `folder` by their name without suffix."""
    found = {}
    for path in sorted(folder.iterdir(), reverse=True):
        if _is_image(path) and path.is_file():
            about = path.stat()
            found[path.stem] = ImageFile(path, None, about.st_size, about.st_mtime_ns)
    return found


def decode_images(name: str, images: Sequence[ImageFile], image_size: int) -> DecodedImages:
    """The images as read-only uint8 `[images, 3, image_size, image_size]`, each whole and resized with antialiasing.

    Comes from the cache where these files were decoded before and the cache is whole: the key covers their names, sizes
    and CRCs (paths and times of change outside archives) and the image size. A decoding that was broken off goes on
    where it stood. Raises `DataError` naming the images that don't open or are too large, and `StorageError` if the
    cache can't be written.
    """
    if not 8 <= image_size <= 512:
        raise DataError(f"image_size {image_size}: expected 8 to 512 pixels, as problem files have it")
    shape = (len(images), 3, image_size, image_size)
    path = cache_folder("images") / f"{name}-{image_size}-{_key(images)}.npy"
    cached = read_images(path, shape)
    if cached is not None:
        return cached
    with held(path.parent, "a decoding of images", path.stem, wait=lambda _: None):
        cached = read_images(path, shape)  # another process may have done it meanwhile
        if cached is not None:
            return cached
        with quiet():
            write_images(path, shape, lambda done: _decoded(images, done, image_size))
        written = read_images(path, shape)
    if written is None:
        raise DataError(f"the cache {path} changed while it was written: run it again")
    return written


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _key(images: Sequence[ImageFile]) -> str:
    total = hashlib.sha256(_RECIPE.encode())
    for image in images:
        described = f"\n{image.member or image.path}\t{image.size}\t{image.stamp}"
        total.update(described.encode(errors="surrogateescape"))  # a folder's name need not be UTF-8
    return total.hexdigest()[:20]


def _decoded(images: Sequence[ImageFile], done: int, image_size: int) -> Iterator[bytes]:
    """The pixels of each image after the first `done`, in order; threads, since Pillow decodes outside Python's lock.

    After one that is damaged the others are looked at as well, so that all are named at once.
    """
    with ExitStack() as stack:
        archives = {
            path: stack.enter_context(_open_zip(path)) for path in dict.fromkeys(i.path for i in images if i.member)
        }
        pool = stack.enter_context(ThreadPoolExecutor(cpu_count()))
        stack.callback(pool.shutdown, cancel_futures=True)
        damaged: list[_Damaged] = []
        for number, found in enumerate(_in_order(pool, _decoder(archives, image_size), images[done:]), done + 1):
            if isinstance(found, _Damaged):
                damaged.append(found)
                if len(damaged) > _MOST_DAMAGED or found.image.member:  # the first one, and so many more
                    break
            elif not damaged:
                yield found
            if damaged:
                tell(number, len(images))
        if damaged:
            raise _refusal(damaged)


def _refusal(damaged: Sequence[_Damaged]) -> DataError:
    """The error that names the first of the damaged images, and says how many more there are."""
    first, *others = damaged
    if first.image.member:
        return DataError(f"{first.image} {first.fault}; get {first.image.path.name} again")
    if not others:
        return DataError(f"{first.image} {first.fault}; replace the file, or take its line out of the table")
    more = f"{'at least ' if len(others) >= _MOST_DAMAGED else ''}{len(others):,}"
    named = ", ".join(str(one.image) for one in others[:_SHOWN])
    return DataError(
        f"{first.image} {first.fault}; {more} more can't be read: {named}{', ...' if len(others) > _SHOWN else ''}; "
        "replace these files, or take their lines out of the table"
    )


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[ImageFile], bytes | _Damaged], images: Sequence[ImageFile]
) -> Iterator[bytes | _Damaged]:
    """What `function` makes of each image, in order; few results wait for an image before them that takes long."""
    ahead = _AHEAD * cpu_count()
    waiting: deque[Future[bytes | _Damaged]] = deque()
    for image in images:
        waiting.append(pool.submit(function, image))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _decoder(archives: dict[Path, ZipFile], image_size: int) -> Callable[[ImageFile], bytes | _Damaged]:
    def decode(image: ImageFile) -> bytes | _Damaged:
        if image.size > _LARGEST_FILE:
            return _Damaged(image, f"has {image.size} bytes, at most {_LARGEST_FILE} are read")
        try:
            content = archives[image.path].read(image.member) if image.member else image.path.read_bytes()
            return decode_pixels(content, image_size).tobytes()
        except Exception as reason:  # zip and image readers raise errors of many kinds on damaged files
            return _Damaged(image, f"does not open: {in_a_line(reason)}")

    return decode


def _open_zip(path: Path) -> ZipFile:
    try:
        return ZipFile(path)
    except (BadZipFile, OSError, NotImplementedError) as reason:
        raise DataError(
            f"{path} is not a whole zip archive ({reason}); it has {path.stat().st_size} bytes: download it again"
        ) from reason
