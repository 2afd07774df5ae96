"""What NumPy's arrays are called here, and reading archives of them (.npz) that may be damaged or hostile.

Archives are read without pickles, and without more memory than the file says.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

__all__ = ["MOST_BYTES", "Bools", "Float32s", "Floats", "Genomes", "Int32s", "Ints", "RawInputs", "read_arrays"]

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Genomes = npt.NDArray[np.int16]
"""Genes of one network `[genes]` or of many `[networks, genes]`: see `evo_fair.space.decode`."""
RawInputs = npt.NDArray[np.uint8] | Float32s
"""What data sets hold: images uint8 `[samples, channels, height, width]`, tables float32 `[samples, features]`."""

MOST_BYTES = 2**31
"""Bytes that an archive may unpack to: an audit's predictions, the largest there are, stay far below."""

_HEADERS: dict[tuple[int, int], Callable[[Any], Any]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def read_arrays(path: Path, most_bytes: int = MOST_BYTES) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file by name; raises `OSError` where there is none, `ValueError` for whatever is wrong.

    NumPy's own reader believes an array's header and asks for memory first, and its
    errors are of a dozen kinds.

    Args:
        path: The file.
        most_bytes: The most bytes that the arrays may have unpacked. Default:
            MOST_BYTES.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > most_bytes:
                raise ValueError(f"it unpacks to more than {most_bytes:,} bytes")
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _read_array(file, member.file_size)
            return arrays
    except (OSError, ValueError):
        raise
    except Exception as reason:  # bad zips, zlib, unknown compressions, passwords, damaged headers
        raise ValueError(f"it is damaged ({reason})") from reason


def _read_array(file: Any, size: int) -> npt.NDArray[Any]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it has arrays of the unknown version {version}")
    shape, columns_first, dtype = _HEADERS[version](file)
    if dtype.hasobject or dtype.names or dtype.itemsize == 0:
        raise ValueError(f"it has an array of {dtype}")
    count = 1
    for length in shape:
        count *= length
    content: bytes = file.read(size)
    if min(shape, default=0) < 0 or len(content) != count * dtype.itemsize:
        raise ValueError(f"it has an array of {len(content)} bytes with the shape {shape} of {dtype}")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if columns_first else "C")
    return np.array(array, order="C")  # frombuffer's is read-only
