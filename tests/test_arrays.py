"""NumPy archives: what NumPy writes is read, and what would take more memory than the file says is not begun with."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from evo_fair.arrays import read_arrays


def test_what_numpy_wrote_is_read(tmp_path: Path) -> None:
    arrays = {
        "rows": np.arange(6, dtype=np.int16).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array("a text"),
        "none": np.empty((0, 4)),
        "groups/sex": np.array(["f", "m"]),
        "flags": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_arrays(tmp_path / "a.npz")
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)
            assert found[name].flags.writeable


def member(header: str, content: bytes = b"") -> bytes:
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


@pytest.mark.parametrize(
    "content",
    [
        member("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }", b"x" * 8),
        member("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", b"x" * 8),
        member("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"x" * 8),
        member("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }"),
        member("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", b"x" * 8),
        member("[" * 2000, b""),
        b"no array",
        b"",
    ],
)
def test_a_header_that_its_content_does_not_bear_out_is_refused(content: bytes, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.npy", content)
    (tmp_path / "a.npz").write_bytes(packed.getvalue())
    with pytest.raises(ValueError, match=r"it has|it is|magic"):
        read_arrays(tmp_path / "a.npz")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", zeros=np.zeros(10**6))
    assert (tmp_path / "a.npz").stat().st_size < 10**5
    with pytest.raises(ValueError, match="unpacks to more than 1,000,000 bytes"):
        read_arrays(tmp_path / "a.npz", 10**6)


def test_a_pipe_in_the_place_of_an_archive_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="it is no file, but a folder, a pipe or a device"):
        read_arrays(tmp_path / "a.npz")
