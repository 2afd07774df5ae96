"""What NumPy's arrays are called here, and reading archives of them (.npz) that may be damaged or hostile.

Archives are read without pickles, and without more memory than the file says.
"""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

__all__ = [
    "MOST_BYTES",
    "Bools",
    "Float32s",
    "Floats",
    "Genomes",
    "Int32s",
    "Ints",
    "RawInputs",
    "Selected",
    "read_arrays",
]

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Genomes = npt.NDArray[np.int16]
"""Genes of one network `[genes]` or of many `[networks, genes]`: see `evo_fair.space.decode`."""
RawInputs = npt.NDArray[np.uint8] | Float32s
"""What data sets hold: images uint8 `[samples, channels, height, width]`, tables float32 `[samples, features]`."""


class Selected:
    """The rows `indices` `[n]` of raw inputs that may lie on disk, read when they are asked for.

    Has the length, shape and type that `inputs[indices]` has, without a copy of it in memory; `selected[rows]` is one
    of the `rows` `[m]` alone.
    """

    def __init__(self, inputs: RawInputs, indices: Ints) -> None:
        self._inputs, self._indices = inputs, indices
        self.shape: tuple[int, ...] = (len(indices), *inputs.shape[1:])
        self.dtype: np.dtype[Any] = inputs.dtype
        self.ndim = inputs.ndim

    @classmethod
    def all_of(cls, inputs: "RawInputs | Selected") -> "Selected":
        """All rows of raw inputs."""
        return inputs if isinstance(inputs, Selected) else cls(inputs, np.arange(len(inputs)))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, rows: slice | Ints) -> RawInputs:
        return self._inputs[self._indices[rows]]

    def __reduce__(self) -> tuple[type["Selected"], tuple[RawInputs, Ints]]:
        return Selected, (self[:], np.arange(len(self)))  # the other rows stay here

    @property
    def nbytes(self) -> int:
        """The bytes that a copy would take."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def batches(self) -> Iterator[RawInputs]:
        """Copies of all rows in order, some megabytes at a time."""
        step = max(1, _BATCH_BYTES * len(self) // max(1, self.nbytes))
        for first in range(0, len(self), step):
            yield self[first : first + step]


_BATCH_BYTES = 2**25

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
        if path.exists() and not path.is_file():
            raise ValueError("it is no file, but a folder, a pipe or a device")
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
