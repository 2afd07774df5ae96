"""Decoded images on disk: what a broken-off decoding leaves is gone on with, and what is kept is what was decoded."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evo_fair.data.image_cache import read_images, write_images
from evo_fair.data.progress import heard

SHAPE = (40, 3, 8, 8)


class BrokenOffError(Exception):
    pass


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


class _Images:
    """Gives images, as far as `until`; knows which ones were asked for."""

    def __init__(self, until: int = SHAPE[0]) -> None:
        self.until = until
        self.given: list[int] = []

    def __call__(self, first: int) -> Iterator[bytes]:
        for number in range(first, SHAPE[0]):
            if number == self.until:
                raise BrokenOffError
            self.given.append(number)
            yield _pixels()[number].tobytes()


def _broken_off(path: Path, after: int = 25) -> None:
    with pytest.raises(BrokenOffError):
        write_images(path, SHAPE, _Images(after))


def test_a_broken_off_decoding_goes_on_where_it_stood(tmp_path: Path) -> None:
    path, whole = tmp_path / "images.npy", tmp_path / "whole.npy"
    _broken_off(path)
    assert not path.exists()
    rest = _Images()
    write_images(path, SHAPE, rest)
    assert rest.given == list(range(25, 40))
    write_images(whole, SHAPE, _Images())
    assert path.read_bytes() == whole.read_bytes()
    read = read_images(path, SHAPE)
    assert read is not None
    assert np.array_equal(read.pixels, _pixels())
    assert sorted(tmp_path.iterdir()) == [path, whole]


@pytest.mark.parametrize(
    ("part", "size", "kept"),
    [
        ("pixels", -100, 24),  # a kill amid an image
        ("hashes", -5, 24),  # and amid its hash
        ("hashes", 0, 0),
        ("pixels", 50, 0),
    ],
)
def test_what_a_kill_cut_off_is_decoded_again(tmp_path: Path, part: str, size: int, kept: int) -> None:
    path = tmp_path / "images.npy"
    _broken_off(path)
    place = tmp_path / f"images.{part}.part"
    place.write_bytes(place.read_bytes()[:size])
    rest = _Images()
    write_images(path, SHAPE, rest)
    assert rest.given == list(range(kept, 40))
    read = read_images(path, SHAPE)
    assert read is not None
    assert np.array_equal(read.pixels, _pixels())


def test_a_damaged_image_and_those_behind_it_are_decoded_again(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    _broken_off(path)
    place = tmp_path / "images.pixels.part"
    content = bytearray(place.read_bytes())
    content[128 + 7 * 192 + 3] ^= 1
    place.write_bytes(content)
    rest = _Images()
    write_images(path, SHAPE, rest)
    assert rest.given[0] == 7
    read = read_images(path, SHAPE)
    assert read is not None
    assert np.array_equal(read.pixels, _pixels())


def test_images_of_another_shape_are_no_beginning(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    with pytest.raises(BrokenOffError):
        write_images(path, (39, 3, 8, 8), _Images(25))
    rest = _Images()
    write_images(path, SHAPE, rest)
    assert rest.given == list(range(40))


def test_who_hears_of_it_is_told_how_far_it_is_and_can_end_it(tmp_path: Path) -> None:
    told = []

    def hear(done: int, images: int) -> None:
        told.append((done, images))
        if done == 12:
            raise BrokenOffError

    path = tmp_path / "images.npy"
    with heard(hear), pytest.raises(BrokenOffError):
        write_images(path, SHAPE, _Images())
    assert told == [(done, 40) for done in range(1, 13)]
    with heard(lambda done, images: told.append((done, images))):
        write_images(path, SHAPE, _Images())
    assert told[12:] == [(done, 40) for done in range(13, 41)]
