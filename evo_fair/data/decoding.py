"""Decoding one image into pixels: what it would cost is known, and limited, before a pixel is decoded."""

import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["FORMATS", "LONGEST_SIDE", "MOST_PIXELS", "decode_pixels", "quiet"]

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")

MOST_PIXELS = 64 * 2**20
"""Images of more pixels are refused: a file of 80 bytes can claim hundreds of millions."""

LONGEST_SIDE = 2**16
"""Resizing holds a row for each of the height's pixels, so a thin image can cost as much as a large one."""

_MOST_SCANS = 200
"""A progressive JPEG has about ten; each one goes over all pixels, and can be written in a dozen bytes."""

_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_SCAN = b"\xff\xda"


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Pillow's warnings to itself: what is wrong with an image is said by its error. For one thread at a time."""
    pillow = logging.getLogger("PIL")
    before = pillow.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        pillow.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            pillow.setLevel(before)


class _Budget:
    """Lets threads hold `size` pixels together, so that memory does not grow with their number."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._left >= pixels)
            self._left -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._left += pixels
                self._changed.notify_all()


_IN_MEMORY = _Budget(MOST_PIXELS)


def decode_pixels(content: bytes, image_size: int, formats: tuple[str, ...] = FORMATS) -> npt.NDArray[np.uint8]:
    """The whole image as RGB, resized with antialiasing: uint8 `[3, image_size, image_size]`.

    It is turned as its EXIF data say; what is transparent is laid on white. Raises `ValueError` for an image that is
    refused; Pillow raises errors of many kinds for one that is damaged.
    """
    try:
        opened = Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError:
        raise ValueError(f"not a {', '.join(formats)} image") from None
    except Image.DecompressionBombError:  # Pillow's own limit, which is higher
        raise ValueError(
            f"it says to have more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels in {len(content):,} bytes, "
            f"at most {MOST_PIXELS:,} are decoded"
        ) from None
    with opened:
        width, height = opened.size
        if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
            raise ValueError(
                f"it says to have {width:,} x {height:,} pixels in {len(content):,} bytes, "
                f"at most {MOST_PIXELS:,} and {LONGEST_SIDE:,} a side are decoded"
            )
        if content.startswith(b"\xff\xd8") and content.count(_SCAN) > _MOST_SCANS:
            raise ValueError(f"it has {content.count(_SCAN)} scans, at most {_MOST_SCANS} are decoded")
        with _IN_MEMORY.of(min(MOST_PIXELS, max(width * height, max(width, height) * image_size))):
            ImageOps.exif_transpose(opened, in_place=True)
            if opened.mode in _DEEP_MODES:
                raise ValueError(f"its mode {opened.mode} is not 8 bits a channel; convert it")
            small = _opaque(opened).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(small, np.uint8).transpose(2, 0, 1)


def _opaque(image: Image.Image) -> Image.Image:
    """The image as RGB. Without the background, colours would show that nobody sees: often black, often noise."""
    if not image.has_transparency_data:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
