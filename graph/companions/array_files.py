"""Arrays in `.npy` files that are written a part at a time, and read through a memory map."""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # Any: ids, counts or numbers


class ArrayWriter:
    """Writes rows behind each other; the length is filled in when it is closed.

    A full disk is an OSError that says so: numpy's own writing would lose the number of the error.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, *row_shape: int) -> None:
        self._dtype, self._row_shape = np.dtype(dtype), row_shape
        self._num_rows = 0
        self._file = path.open("wb")
        self._write_header()
        self._begin = self._file.tell()

    def add(self, rows: Array) -> None:
        """Some rows more [n, *row_shape]."""
        assert rows.shape[1:] == self._row_shape, (rows.shape, self._row_shape)
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)
        self._num_rows += len(rows)

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._file.seek(0)
                self._write_header()  # numpy leaves room for any length
                assert self._file.tell() == self._begin, "the header grew"

    def _write_header(self) -> None:
        shape = (self._num_rows, *self._row_shape)
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def save_array(path: Path, values: Array) -> None:
    """A whole array."""
    with ArrayWriter(path, values.dtype, *values.shape[1:]) as writer:
        writer.add(values)


def mapped(path: Path) -> Array:
    """The array of a file, its pages read when they are looked at and shared by all processes of a node."""
    array: Array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    return array


def read_parts(path: Path, parts: list[tuple[int, int]]) -> Array:
    """Rows `begin .. end` of a file of numbers, one part after the other; read, so that nothing stays mapped."""
    layout = np.load(path, mmap_mode="r", allow_pickle=False)
    rows = np.empty(sum(end - begin for begin, end in parts), dtype=layout.dtype)
    filled = 0
    with path.open("rb") as file:
        for begin, end in parts:
            file.seek(layout.offset + begin * layout.itemsize)
            some = rows[filled : filled + end - begin]
            assert file.readinto(some.data.cast("B")) == some.nbytes, f"{path} is shorter than it says"
            filled += end - begin
    return rows
