"""What ranks make row by row, in files of their own: never whole in the memory of any, put together by row.

    with writing(folder, "graph_test", LISTS, world) as part: part.add(...)        on every rank
    for rows, columns in joined(folder, "graph_test", LISTS, world.size): ...      afterwards, on the first

Files are plain numbers without a header, only read by the run that wrote them: DIR/NAME.RANK.COLUMN.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from launch.distributed import World
from launch.watch.beats import beat
from pairs.tables import Ints

KEY = "key"
"""The column of the rows' ids, which no two ranks share."""
ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class PartColumn:
    """Numbers of one kind, `width` of them a row."""

    dtype: type[np.generic]
    width: int


PartColumns = Mapping[str, PartColumn]


@dataclass(frozen=True)
class PartWriter:
    """Files that are being written."""

    files: Mapping[str, BinaryIO]
    columns: PartColumns

    def add(self, key_N: Ints, **values: NDArray[Any]) -> None:
        """Some more rows: their ids and, for every column, [N, width]."""
        assert values.keys() == self.columns.keys(), values.keys()
        self.files[KEY].write(np.ascontiguousarray(key_N, dtype=np.int64).tobytes())
        for name, column in self.columns.items():
            assert values[name].shape == (len(key_N), column.width), (name, values[name].shape)
            self.files[name].write(np.ascontiguousarray(values[name], dtype=column.dtype).tobytes())


@contextmanager
def writing(folder: Path, name: str, columns: PartColumns, world: World) -> Iterator[PartWriter]:
    """A collective: on leaving, all ranks' files are there. What a killed start left is written over."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = {
            column: stack.enter_context(_path(folder, name, world.rank, column).open("wb"))
            for column in (KEY, *columns)
        }
        yield PartWriter(files, columns)
    world.barrier()


def joined(folder: Path, name: str, columns: PartColumns, ranks: int) -> Iterator[tuple[Ints, dict[str, NDArray[Any]]]]:
    """All ranks' rows by rising id, some at a time: ids [N] and columns [N, width]. Deletes the files at the end."""
    keys = [_read(folder, name, rank, KEY, PartColumn(np.int64, 1))[:, 0] for rank in range(ranks)]
    of_rank = np.repeat(np.arange(ranks), [len(key) for key in keys])
    row = np.concatenate([np.arange(len(key)) for key in keys])
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")
    assert (np.diff(key[order]) > 0).all(), f"{folder / name}: some row was written twice"
    parts = {
        column: [_read(folder, name, rank, column, kind) for rank in range(ranks)] for column, kind in columns.items()
    }
    for start in range(0, len(order), ROWS_AT_ONCE):
        beat(phase="joining parts")
        chosen = order[start : start + ROWS_AT_ONCE]
        yield (
            key[chosen],
            {column: _take(parts[column], of_rank[chosen], row[chosen], kind) for column, kind in columns.items()},
        )
    del keys, parts  # on a network disk a file that is still mapped leaves its room, and its folder, behind
    for column in (KEY, *columns):
        for rank in range(ranks):
            _path(folder, name, rank, column).unlink()


def _take(parts: list[NDArray[Any]], of_rank: Ints, row: Ints, kind: PartColumn) -> NDArray[Any]:
    values = np.empty((len(row), kind.width), dtype=kind.dtype)
    for rank, part in enumerate(parts):
        here = of_rank == rank
        values[here] = part[row[here]]
    return values


def _read(folder: Path, name: str, rank: int, column: str, kind: PartColumn) -> NDArray[Any]:
    path = _path(folder, name, rank, column)
    if path.stat().st_size == 0:  # which cannot be mapped
        return np.zeros((0, kind.width), dtype=kind.dtype)
    return np.memmap(path, dtype=kind.dtype, mode="r").reshape(-1, kind.width)


def _path(folder: Path, name: str, rank: int, column: str) -> Path:
    return folder / f"{name}.{rank}.{column}"
