"""CIFAR-10, even and long-tailed, from a small made-up archive."""

import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evo_fair.data import PARTS, Dataset, load_dataset
from evo_fair.data.cifar10 import CLASSES, VALIDATION, long_tail
from evo_fair.errors import DataError
from tests.data.fakes import encoded
from tests.data.test_images_hostile import png

SPARE = 50


def write_archive(folder: Path, without: str = "") -> Path:
    """550 training and 12 test images of each class, all of a class alike."""
    path = folder / "cifar10_jpg.tar"
    with tarfile.open(path, "w") as tar:
        for label, name in enumerate(CLASSES):
            content = encoded(Image.new("RGB", (32, 32), (20 * label, 0, 0)), "PNG")
            for part, count in (("train", VALIDATION + SPARE), ("test", 12)):
                for number in range(count if f"{part}/{name}" != without else 0):
                    member = tarfile.TarInfo(f"{part}/{name}/{number:04d}.png")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return path


def test_the_tail_falls_to_a_fiftieth() -> None:
    assert long_tail(4500) == [4500, 2914, 1887, 1221, 791, 512, 332, 215, 139, 90]


def test_training_is_long_tailed_and_the_rest_balanced(tmp_path: Path) -> None:
    write_archive(tmp_path)
    data = load_dataset("cifar10_lt", tmp_path, image_size=32, min_samples=1)
    sizes = [np.bincount(data.labels[data.split == part]).tolist() for part in range(3)]
    assert sizes == [long_tail(SPARE), [VALIDATION] * 10, [12] * 10]
    assert data.inputs.shape[1:] == (3, 32, 32)
    assert (data.inputs[:, 0, 0, 0] == 20 * data.labels).all()
    again = load_dataset("cifar10_lt", tmp_path, image_size=32, min_samples=1)
    assert again.fingerprint == data.fingerprint


def test_even_classes_have_the_same_validation_and_test_part_and_all_training_images(tmp_path: Path) -> None:
    write_archive(tmp_path)
    even = load_dataset("cifar10", tmp_path, image_size=32, min_samples=1)
    tailed = load_dataset("cifar10_lt", tmp_path, image_size=32, min_samples=1)
    sizes = [np.bincount(even.labels[even.part(part)]).tolist() for part in PARTS]
    assert sizes == [[SPARE] * 10, [VALIDATION] * 10, [12] * 10]
    assert (even.name, tailed.name) == ("cifar10", "cifar10_lt")
    assert even.licence == tailed.licence
    for part in ("validation", "test"):
        assert np.array_equal(even.inputs[even.part(part)], tailed.inputs[tailed.part(part)])


def test_a_damaged_or_incomplete_download_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nor a folder train"):
        load_dataset("cifar10_lt", tmp_path)
    path = write_archive(tmp_path, without="test/dog")
    with pytest.raises(DataError, match="lacks test images of a class"):
        load_dataset("cifar10_lt", tmp_path)
    packed = lzma.compress(path.read_bytes())
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="is not a whole archive"):
        load_dataset("cifar10_lt", tmp_path)
    for damaged in (packed[:2000], packed[:500] + bytes(500) + packed[1000:]):  # cut off, and overwritten inside
        path.with_suffix(".tar.xz").write_bytes(damaged)
        with pytest.raises(DataError, match="xz is not a whole archive"):
            load_dataset("cifar10_lt", tmp_path)


def _archive_of(folder: Path, content: bytes, header: Callable[[tarfile.TarInfo], None] = lambda _: None) -> None:
    """An archive of one image, its header changed, packed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("train/dog/1.png")
        member.size = len(content)
        header(member)
        tar.addfile(member, io.BytesIO(content))
    (folder / "cifar10_jpg.tar.xz").write_bytes(lzma.compress(stream.getvalue(), preset=0))


def test_an_archive_that_would_cost_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _archive_of(tmp_path, png(1, 170_000_000))
    with pytest.raises(
        DataError, match=r"dog/1\.png does not open \(it has 1 x 170,000,000 pixels, expected 32 x 32\)"
    ):
        load_dataset("cifar10_lt", tmp_path)
    _archive_of(tmp_path, bytes(2**20 + 1))
    with pytest.raises(DataError, match=r"train/dog/1\.png in .* has 1048577 bytes"):
        load_dataset("cifar10_lt", tmp_path)
    _archive_of(tmp_path, bytes(512), lambda member: member.pax_headers.update(comment="x" * 2**25))
    with pytest.raises(DataError, match=r"is not a whole archive \(a part of it says to have 33,\d+,\d+ bytes\)"):
        load_dataset("cifar10_lt", tmp_path)
    monkeypatch.setattr("evo_fair.data.cifar10._MOST_UNPACKED", 10_000)
    _archive_of(tmp_path, bytes(20_000), lambda member: setattr(member, "name", "skipped.bin"))
    with pytest.raises(DataError, match=r"is not a whole archive \(it unpacks to more than 10,000 bytes\)"):
        load_dataset("cifar10_lt", tmp_path)


def load_unpacked(folder: Path) -> Dataset:
    return load_dataset("cifar10_lt", folder, image_size=32, min_samples=1)


def test_a_folder_can_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    """As folders have from systems that did not write UTF-8."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    write_archive(folder)
    assert (load_unpacked(folder).inputs == load_unpacked(folder).inputs).all()


def test_a_folder_that_is_completed_or_changed_is_read_again(tmp_path: Path) -> None:
    with tarfile.open(write_archive(tmp_path)) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    late = sorted((tmp_path / "unpacked/train/dog").iterdir())[100:]
    content = late[0].read_bytes()
    for path in late:
        path.unlink()
    with pytest.raises(DataError, match="100 training images of dog, more than 500 needed"):
        load_unpacked(tmp_path / "unpacked")
    for path in late:
        path.write_bytes(content)
    first = load_unpacked(tmp_path / "unpacked")
    assert (first.inputs[:, 0, 0, 0] == 20 * first.labels).all()
    for path in (tmp_path / "unpacked/test/cat").iterdir():
        path.write_bytes(encoded(Image.new("RGB", (32, 32), (255, 0, 0)), "PNG"))
    second = load_unpacked(tmp_path / "unpacked")
    assert (second.inputs[(second.labels == CLASSES.index("cat")) & (second.split == 2), 0] == 255).all()


@pytest.mark.parametrize("damage", ["cut", "overwritten", "flipped"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    write_archive(tmp_path)
    expected = load_dataset("cifar10_lt", tmp_path, image_size=32, min_samples=1).fingerprint
    (cached,) = (tmp_path / "cache" / "images").iterdir()
    content = cached.read_bytes()
    kept = content[: len(content) // 2]
    changed = bytes([content[len(kept)] ^ 1]) if damage == "flipped" else bytes(500)
    cached.write_bytes(kept if damage == "cut" else kept + changed + content[len(kept) + len(changed) :])
    assert load_dataset("cifar10_lt", tmp_path, image_size=32, min_samples=1).fingerprint == expected


@pytest.mark.data
@pytest.mark.slow
def test_the_real_archive(data_folder: Callable[[str], Path]) -> None:
    data = load_dataset("cifar10_lt", data_folder("cifar10"), image_size=32)
    assert [int((data.split == part).sum()) for part in range(3)] == [12601, 5000, 10000]
    # as it was before there was the source cifar10 beside it
    assert data.fingerprint == "e0fa24cf43f07f35c40d152355931bc0feea280dd7e5335a7b85fc21ef096660"
    even = load_dataset("cifar10", data_folder("cifar10"), image_size=32)
    assert [np.bincount(even.labels[even.part(part)]).tolist() for part in PARTS] == [
        [4500] * 10,
        [500] * 10,
        [1000] * 10,
    ]
