"""What the prompts of a split could show: own histories and those of kindred users, a batch of samples at a time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from launch.errors import InputError
from pairs.tables import Samples, Split
from training.prompts.assembly import Wanted
from training.prompts.pieces import Ints

NOBODY = -1


@dataclass(frozen=True)
class NeighbourRows:
    """The retrieved train samples of every sample of a split, as rows of the train split, nearest first."""

    rows: Ints  # [sum of lengths], rows of the train samples
    offsets: Ints  # [N + 1]

    def matrix(self, rows: Ints) -> Ints:
        """The lists of `rows` [B, longest], filled up with NOBODY."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        places = np.arange(int(lengths.max(initial=0)))
        held = places[None, :] < lengths[:, None]
        matrix = np.full(held.shape, NOBODY, dtype=np.int64)
        matrix[held] = self.rows[(self.offsets[rows][:, None] + places[None, :])[held]]
        return matrix


@dataclass(frozen=True)
class PromptSource:
    """A split's samples, the train samples and who is kindred to whom."""

    samples: Samples
    train: Samples
    neighbours: NeighbourRows
    pad: int
    """The item id that stands for none."""
    num_neighbours: int
    max_history: int
    neighbour_items: int
    with_target: bool
    """Whether prompts of this split end with their answer."""

    def wanted(self, rows: Ints) -> Wanted:
        """What the prompts of `rows` could show."""
        samples = self.samples.take(rows)
        kindred = distinct_users(
            self.neighbours.matrix(rows), users=self.train.user, own=samples.user, limit=self.num_neighbours
        )
        return Wanted(
            sample=samples.sample,
            domain=samples.domain,
            own=samples.recent(self.max_history, self.pad),
            neighbours=self._histories(kindred),
            target=samples.target if self.with_target else None,
        )

    def _histories(self, kindred: Ints) -> Ints:
        """The most recent items [B, K, M] of train rows [B, K]."""
        flat = kindred.ravel()
        items = np.full((len(flat), self.neighbour_items), self.pad, dtype=np.int64)
        present = flat != NOBODY
        items[present] = self.train.take(flat[present]).recent(self.neighbour_items, self.pad)
        return items.reshape(*kindred.shape, self.neighbour_items)


def distinct_users(rows: Ints, *, users: Ints, own: Ints, limit: int) -> Ints:
    """The first `limit` train rows [B, limit] of different users, none of them the sample's own user.

    rows: [B, L] train rows, nearest first, NOBODY where there is none. The samples of one user have the same history,
    so that a second one would say nothing new.
    """
    B, L = rows.shape
    user = np.where(rows == NOBODY, -1, users[rows]) if len(users) else np.full((B, L), -1)
    assert not (user == own[:, None]).any(), "a user is a neighbour of himself: the retrieval is broken"
    usable = rows != NOBODY
    for place in range(1, L):
        usable[:, place] &= ~(user[:, :place] == user[:, place, None]).any(axis=1)
    order = np.argsort(~usable, axis=1, kind="stable")[:, :limit]
    chosen = np.where(np.take_along_axis(usable, order, axis=1), np.take_along_axis(rows, order, axis=1), NOBODY)
    return np.pad(chosen, ((0, 0), (0, max(0, limit - L))), constant_values=NOBODY)


def read_neighbours(run_dir: Path, split: Split, *, samples: Samples, train: Samples) -> NeighbourRows:
    """neighbours/SPLIT.parquet in the order of `samples`."""
    path = run_dir / "neighbours" / f"{split}.parquet"
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `kinrec retrieve` first")
    table = pq.read_table(path, columns=["sample", "neighbour_samples"], memory_map=True).combine_chunks()
    listed = np.asarray(table["sample"], dtype=np.int64)
    order = np.argsort(listed, kind="stable")
    places = np.minimum(np.searchsorted(listed, samples.sample, sorter=order), max(len(listed) - 1, 0))
    if len(samples) and (not len(listed) or not np.array_equal(listed[order][places], samples.sample)):
        raise InputError(f"{path}: does not list every sample of pair/{split}.parquet; run `kinrec retrieve` again")
    lists = table["neighbour_samples"].combine_chunks()
    lists = lists.chunk(0) if hasattr(lists, "chunks") else lists
    lists = lists.take(order[places]) if len(samples) else lists
    offsets = np.asarray(lists.offsets, dtype=np.int64)
    ids = np.asarray(lists.values, dtype=np.int64)[offsets[0] : offsets[-1]]
    return NeighbourRows(rows=train.row_of(ids) if len(ids) else ids, offsets=offsets - offsets[0])


def no_neighbours(count: int) -> NeighbourRows:
    """Nobody, for `count` samples."""
    return NeighbourRows(rows=np.zeros(0, dtype=np.int64), offsets=np.zeros(count + 1, dtype=np.int64))
