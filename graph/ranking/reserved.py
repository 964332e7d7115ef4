"""Tables on the disk that are filled little by little."""

import os
from pathlib import Path
from typing import TypeVar

import numpy as np

Number = TypeVar("Number", bound=np.generic)


def reserve(path: Path, shape: tuple[int, int], dtype: type[Number]) -> "np.memmap[tuple[int, int], np.dtype[Number]]":
    """A table to fill whose room on the disk is taken now: a full disk is an error here, not a bus error later."""
    table = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return table
