"""The items that the language model ranks for each sample: the best of what the evidence expects, and the votes of
kindred users.

Candidates of a train sample come from what the evidence says without that sample's own user (graph/left_out), and from
users who are kindred to it by the same: nothing has seen the purchase that is to be ranked.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.ranked_lists import NO_ITEM
from pairs.ragged import offsets_of, places_of, rows_of
from pairs.tables import Ints
from retrieval.posterior.expected import ExpectedItems
from training.prompts.groups import Votes


@dataclass(frozen=True)
class CandidateLists:
    """Items of the asked domain for B samples, each once in a list."""

    items: Ints  # [sum of lengths]
    offsets: Ints  # [B + 1]

    @property
    def lengths(self) -> Ints:
        """[B]"""
        return np.diff(self.offsets)

    @property
    def rows(self) -> Ints:
        """[sum of lengths], the list of each item."""
        return rows_of(self.lengths)

    def __len__(self) -> int:
        return len(self.offsets) - 1


def join_candidates(
    expected: ExpectedItems | None, votes: Votes, *, most_expected: int, most_votes: int, count: int
) -> CandidateLists:
    """The best `most_expected` of each expected list and the `most_votes` with the most votes, of `count` samples.

    They stand in the order of their ids, which the model is not told.
    """
    voted = votes.place < most_votes
    row, item = [votes.row[voted]], [votes.item[voted]]
    if expected is not None:
        present_BK = expected.items != NO_ITEM
        rows, columns = np.nonzero(present_BK & (np.cumsum(present_BK, axis=1) <= most_expected))
        row.append(rows.astype(np.int64))
        item.append(expected.items[rows, columns])
    all_rows, all_items = np.concatenate(row), np.concatenate(item)
    width = int(all_items.max(initial=0)) + 1
    cells = np.unique(all_rows * width + all_items)
    return CandidateLists(cells % width, offsets_of(np.bincount(cells // width, minlength=count)))


def lists_to_learn(
    candidates: CandidateLists, *, sample: Ints, target: Ints, negatives: int | Ints, seed: int
) -> CandidateLists:
    """The target [B] first, whether it was a candidate or not, then at most `negatives` (of all, or [B]) of the others.

    The draw of a list follows from the seed and its sample's id, whatever the batch.
    """
    others = candidates.items != target[candidates.rows]
    row, item = candidates.rows[others], candidates.items[others]
    item = item[np.lexsort((_mixed(sample[row], item, seed), row))]
    counts = np.bincount(row, minlength=len(target))
    kept = np.minimum(counts, negatives)
    most = np.repeat(kept, counts)
    offsets = offsets_of(kept + 1)
    items = np.empty(int(offsets[-1]), dtype=np.int64)
    is_target = np.zeros(len(items), dtype=bool)
    is_target[offsets[:-1]] = True
    items[is_target] = target
    items[~is_target] = item[places_of(counts) < most]
    return CandidateLists(items, offsets)


def holds_target(candidates: CandidateLists, target: Ints) -> npt.NDArray[np.bool_]:
    """[B] whether the target is among the candidates."""
    is_target = candidates.items == target[candidates.rows]
    return np.asarray(np.bincount(candidates.rows[is_target], minlength=len(target)) > 0)


def read_candidates(dataset: Any, places: Ints) -> CandidateLists:  # Any: datasets is untyped
    """The candidates of some prompts."""
    table = dataset.with_format("arrow")[places.tolist()]
    lists = pa.concat_arrays(table["candidates"].chunks) if len(places) else pa.array([], pa.list_(pa.int32()))
    lengths = np.asarray(pc.list_value_length(lists), dtype=np.int64)
    return CandidateLists(np.asarray(lists.flatten(), dtype=np.int64), offsets_of(lengths))


def _mixed(first: Ints, second: Ints, seed: int) -> npt.NDArray[np.uint64]:
    """A number that looks random for every pair of numbers (Vigna's splitmix64)."""
    state = np.full(len(first), seed, dtype=np.uint64)
    for part in (first, second):
        state = (state ^ part.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state
