"""Random flips, quarter turns and shifts of image batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

from evo_fair.arrays import Bools, Ints

__all__ = ["augment", "augment_tensor"]

SHIFT_FRACTION = 1 / 16


def augment(images: npt.NDArray[Any], kinds: Sequence[str], rng: np.random.Generator) -> npt.NDArray[Any]:
    """Transformed `images`, uint8 `[n, channels, height, width]`; every image draws its own transformation.

    `hflip`, `vflip` mirror half of the images, `rot90` turns by a random multiple of 90 degrees, `shift` moves by up to
    a sixteenth of the size, at least a pixel, either way, repeating the border. Raises `ValueError` for `rot90` on
    images that are not square.
    """
    if not kinds:
        return images
    rows, columns, turned = _drawn(images.shape, kinds, rng)
    moved = np.empty_like(images, order="C")
    _gather(np.ascontiguousarray(images), rows.astype(np.int32), columns.astype(np.int32), turned, moved)
    return moved


def augment_tensor(images: torch.Tensor, kinds: Sequence[str], rng: np.random.Generator) -> torch.Tensor:
    """What `augment` gives for the same images and draws, computed where the images are."""
    if not kinds:
        return images
    rows, columns, turned = (torch.from_numpy(part).to(images.device) for part in _drawn(images.shape, kinds, rng))
    across = images.gather(3, columns[:, None, None].expand(*images.shape))
    moved = across.gather(2, rows[:, None, :, None].expand(*images.shape))
    if "rot90" not in kinds:
        return moved
    return torch.where(turned[:, None, None, None], moved.transpose(2, 3), moved)


def _drawn(shape: Sequence[int], kinds: Sequence[str], rng: np.random.Generator) -> tuple[Ints, Ints, Bools]:
    """Which row and column each pixel comes from, `[n, height]` and `[n, width]`, and which images `[n]` are turned."""
    n, _, height, width = shape
    rows = np.broadcast_to(np.arange(height), (n, height))
    columns = np.broadcast_to(np.arange(width), (n, width))
    if "hflip" in kinds:
        columns = np.where(rng.random((n, 1)) < 0.5, columns[:, ::-1], columns)
    if "vflip" in kinds:
        rows = np.where(rng.random((n, 1)) < 0.5, rows[:, ::-1], rows)
    if "shift" in kinds:
        most_y, most_x = (max(1, round(size * SHIFT_FRACTION)) for size in (height, width))
        rows = (rows + rng.integers(-most_y, most_y + 1, (n, 1))).clip(0, height - 1)
        columns = (columns + rng.integers(-most_x, most_x + 1, (n, 1))).clip(0, width - 1)
    turned = np.zeros(n, np.bool_)
    if "rot90" in kinds and height != width:
        raise ValueError(f"rot90 turns square images alone, these are {height} x {width}")
    if {"rot90", "hflip", "vflip"} <= set(kinds):
        turned = rng.random(n) < 0.5  # a transposition: with both flips it makes every multiple of 90 degrees
    elif "rot90" in kinds:
        quarters = rng.integers(0, 4, (n, 1))
        columns = np.where((quarters == 1) | (quarters == 2), columns[:, ::-1], columns)
        rows = np.where((quarters == 2) | (quarters == 3), rows[:, ::-1], rows)
        turned = quarters[:, 0] % 2 == 1
    return np.ascontiguousarray(rows), np.ascontiguousarray(columns), turned


@njit(cache=True, nogil=True)
def _gather(images: Any, rows: Any, columns: Any, turned: Any, moved: Any) -> None:
    """Picks pixels by row and column, of `turned` images into the place that a transposition gives them."""
    n, channels, height, width = images.shape
    for i in range(n):
        for channel in range(channels):
            source, target = images[i, channel], moved[i, channel]
            for y in range(height):
                line = source[rows[i, y]]
                for x in range(width):
                    if turned[i]:
                        target[x, y] = line[columns[i, x]]
                    else:
                        target[y, x] = line[columns[i, x]]
