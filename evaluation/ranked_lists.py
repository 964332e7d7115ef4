"""Ranked lists of items by sample: choose the best of a row of scores, write and read them as Parquet.

Columns: `sample`, `items` (best first), `scores`, and what the writer adds (the LLM: `texts`, `grounded`, `in_domain`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evaluation.kth_largest import kth_largest
from launch.artifacts import atomic_file
from launch.errors import InputError
from pairs.ragged import offsets_of

NO_ITEM = -1
"""Fills the end of a list that is shorter than the table is wide."""
LIST_COLUMNS = ["sample", "items", "scores"]
ROWS_A_GROUP = 8192
"""Lists in a part of a file that can be read by itself."""


@dataclass(frozen=True)
class RankedLists:
    """The best items of N samples, best first; K is the longest list's length."""

    sample: NDArray[np.int64]
    """[N] sample ids."""
    items: NDArray[np.int64]
    """[N, K] item ids, `NO_ITEM` after a list's end."""
    scores: NDArray[np.float32]
    """[N, K] scores, falling along a row, -inf after a list's end."""

    def __post_init__(self) -> None:
        assert self.items.shape == self.scores.shape, (self.items.shape, self.scores.shape)
        assert self.sample.shape == self.items.shape[:1], (self.sample.shape, self.items.shape)

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def depth(self) -> int:
        """The width K of the table."""
        return int(self.items.shape[1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[N] how many items each list holds."""
        return np.asarray(np.count_nonzero(self.items != NO_ITEM, axis=1), dtype=np.int64)

    def take(self, rows: NDArray[np.int64]) -> "RankedLists":
        """The lists of some rows, in the order asked for."""
        return RankedLists(self.sample[rows], self.items[rows], self.scores[rows])

    def of_samples(self, sample_N: NDArray[np.int64], *, source: str = "lists") -> "RankedLists":
        """The lists of these samples, joined by sample id; one that is missing is an error that names `source`."""
        lists, listed_N = self.aligned(sample_N)
        if not listed_N.all():
            missing = int(sample_N[~listed_N][0])
            raise InputError(
                f"{source}: no list for sample {missing} ({int((~listed_N).sum())} of {len(sample_N)} missing); "
                "run the stage that writes it again"
            )
        return lists

    def aligned(self, sample_N: NDArray[np.int64]) -> tuple["RankedLists", NDArray[np.bool_]]:
        """The lists of these samples, joined by sample id and empty where there is none; and [N] where there is one."""
        items_NK = np.full((len(sample_N), self.depth), NO_ITEM, dtype=np.int64)
        scores_NK = np.full((len(sample_N), self.depth), -np.inf, dtype=np.float32)
        listed_N = np.isin(sample_N, self.sample)
        order = np.argsort(self.sample, kind="stable")
        rows = order[np.searchsorted(self.sample[order], sample_N[listed_N])]
        items_NK[listed_N], scores_NK[listed_N] = self.items[rows], self.scores[rows]
        return RankedLists(sample_N, items_NK, scores_NK), listed_N


def top_k(
    scores_BC: NDArray[np.floating[Any]], k: int, ids_C: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of each row, best first; equal scores go by the lower id, whatever the batch.

    Args:
        scores_BC: scores of C candidates for B rows; -inf excludes a candidate. No NaN.
        ids_C: the candidates' item ids, ascending; [B, C] where each row has its own.

    Returns: items [B, k] and scores [B, k], padded with `NO_ITEM` and -inf where fewer than k remain.
    """
    assert k > 0, k
    assert scores_BC.shape[1] == ids_C.shape[-1], (scores_BC.shape, ids_C.shape)
    num_rows, num_candidates = scores_BC.shape
    width = min(k, num_candidates)
    items_BK = np.full((num_rows, k), NO_ITEM, dtype=np.int64)
    best_BK = np.full((num_rows, k), -np.inf, dtype=np.float32)
    if width == 0 or num_rows == 0:
        return items_BK, best_BK
    scores_BC = scores_BC.astype(np.float32, copy=False)
    bar_B = kth_largest(scores_BC, width)[:, None]
    keep_BC = scores_BC >= bar_B
    tied = np.flatnonzero(keep_BC.sum(axis=1) > width)
    if len(tied):  # more candidates at the bar than places: the lowest ids of them stay
        above_TC = scores_BC[tied] > bar_B[tied]
        level_TC = keep_BC[tied] & ~above_TC
        places_T = width - above_TC.sum(axis=1, keepdims=True)
        keep_BC[tied] = above_TC | (level_TC & (np.cumsum(level_TC, axis=1) <= places_T))
    kept_BK = np.nonzero(keep_BC)[1].reshape(num_rows, width)
    kept_scores_BK = np.take_along_axis(scores_BC, kept_BK, axis=1)
    order_BK = np.argsort(-kept_scores_BK, axis=1, kind="stable")
    best_BK[:, :width] = np.take_along_axis(kept_scores_BK, order_BK, axis=1)
    columns_BK = np.take_along_axis(kept_BK, order_BK, axis=1)
    items_BK[:, :width] = ids_C[columns_BK] if ids_C.ndim == 1 else np.take_along_axis(ids_C, columns_BK, axis=1)
    items_BK[best_BK == -np.inf] = NO_ITEM
    return items_BK, best_BK


def no_lists(depth: int = 0) -> RankedLists:
    """Of no sample."""
    return RankedLists(np.zeros(0, np.int64), np.zeros((0, depth), np.int64), np.zeros((0, depth), np.float32))


def concatenated_lists(parts: Sequence[RankedLists]) -> RankedLists:
    """The lists of all parts, one after the other, as wide as the widest."""
    depth = max((part.depth for part in parts), default=0)
    same_depth = [widened(part, depth) for part in parts] or [no_lists()]
    return RankedLists(
        np.concatenate([part.sample for part in same_depth]),
        np.concatenate([part.items for part in same_depth]),
        np.concatenate([part.scores for part in same_depth]),
    )


def widened(lists: RankedLists, depth: int) -> RankedLists:
    """The same in a table that is `depth` wide."""
    if lists.depth == depth:
        return lists
    missing = ((0, 0), (0, depth - lists.depth))
    return RankedLists(
        lists.sample,
        np.pad(lists.items, missing, constant_values=NO_ITEM),
        np.pad(lists.scores, missing, constant_values=-np.inf).astype(np.float32),
    )


def write_lists(path: Path, lists: RankedLists, extra_columns: Mapping[str, Any] | None = None) -> None:
    """Write lists, ordered by sample, atomically.

    Args:
        extra_columns: more columns by name, one value a row (whatever `pyarrow.array` takes), in the order of `lists`.
    """
    order = np.argsort(lists.sample, kind="stable")
    columns = _columns(lists.take(order))
    for name, values in (extra_columns or {}).items():
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        assert len(column) == len(lists), (name, len(column), len(lists))
        columns[name] = column.take(pa.array(order))
    with atomic_file(path) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd", row_group_size=ROWS_A_GROUP)


def write_list_blocks(path: Path, blocks: Iterable[RankedLists]) -> None:
    """Write lists that come by rising sample id, some at a time, atomically; none of them is held."""
    schema = pa.table(_columns(no_lists())).schema
    with atomic_file(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for lists in blocks:
            writer.write_table(pa.table(_columns(lists)), row_group_size=ROWS_A_GROUP)


def _columns(lists: RankedLists) -> dict[str, Any]:  # Any: pyarrow has no types
    return {
        "sample": pa.array(lists.sample, pa.int64()),
        "items": _ragged(lists.items, lists.lengths, pa.int64()),
        "scores": _ragged(lists.scores, lists.lengths, pa.float32()),
    }


def read_lists(path: Path) -> RankedLists:
    """Read what `write_lists` wrote, without the extra columns."""
    return lists_of_table(_read_table(path, LIST_COLUMNS))


def lists_of_table(table: Any) -> RankedLists:  # Any: pyarrow has no types
    """Lists of what Parquet holds of them."""
    items, scores = table.column("items").combine_chunks(), table.column("scores").combine_chunks()
    lengths_N = np.asarray(items.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
    width = int(lengths_N.max(initial=0))
    filled_NK = np.arange(width) < lengths_N[:, None]
    items_NK = np.full(filled_NK.shape, NO_ITEM, dtype=np.int64)
    scores_NK = np.full(filled_NK.shape, -np.inf, dtype=np.float32)
    items_NK[filled_NK] = items.flatten().to_numpy(zero_copy_only=False)
    scores_NK[filled_NK] = scores.flatten().to_numpy(zero_copy_only=False)
    return RankedLists(table.column("sample").to_numpy(), items_NK, scores_NK)


def read_samples(path: Path) -> NDArray[np.int64]:
    """The ids of the samples that have a list, in the file's order."""
    return np.asarray(_read_table(path, ["sample"]).column("sample").to_numpy())


def read_column(path: Path, name: str) -> tuple[NDArray[np.int64], list[Any]]:
    """The sample ids and one extra column as Python values, in the file's order."""
    table = _read_table(path, ["sample", name])
    return table.column("sample").to_numpy(), table.column(name).to_pylist()


def _read_table(path: Path, columns: list[str]) -> Any:  # Any: pyarrow has no types
    with unreadable(path):
        return pq.read_table(path, columns=columns)


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """One clear line where lists are missing or no table."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the stage that writes these lists")
    try:
        yield
    except pa.ArrowException as error:
        raise InputError(f"{path}: not a table of lists ({error}); run the stage that writes it again") from error


def _ragged(values_NK: NDArray[Any], lengths_N: NDArray[np.int64], type_: Any) -> Any:  # Any: pyarrow has no types
    filled_NK = np.arange(values_NK.shape[1]) < lengths_N[:, None]
    offsets = offsets_of(lengths_N).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values_NK[filled_NK], type_))
