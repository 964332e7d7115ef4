"""What the prompts of a split could show: own histories and those of kindred users, a batch of samples at a time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from launch.errors import InputError
from pairs.tables import Samples, Split
from training.prompts.assembly import Wanted
from training.prompts.config import KindredForm
from training.prompts.groups import NOBODY, Groups, Votes, count_votes, histories_of, votes_of
from training.prompts.pieces import Ints


@dataclass(frozen=True)
class NeighbourRows:
    """The retrieved histories of every sample of a split, as rows of who may be kindred, nearest first."""

    rows: Ints  # [sum of lengths], rows of who may be kindred
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
    """A split's samples, who may be kindred (pairs/known.py) and who is, to whom."""

    samples: Samples
    known: Samples
    neighbours: NeighbourRows
    item_domain: Ints  # [I]
    num_neighbours: int
    max_history: int
    form: KindredForm
    kindred_items: int
    """Items shown of each kindred user, or of all of them by votes."""
    with_target: bool
    """Whether prompts of this split end with their answer."""

    @property
    def pad(self) -> int:
        """The item id that stands for none."""
        return len(self.item_domain)

    def wanted(self, rows: Ints) -> Wanted:
        """What the prompts of `rows` could show."""
        samples = self.samples.take(rows)
        groups = self._groups(samples, self._kindred(samples, rows))
        return Wanted(
            sample=samples.sample,
            domain=samples.domain,
            own=samples.recent(self.max_history, self.pad),
            neighbours=groups.items,
            headers=groups.headers,
            buyers=groups.buyers,
            target=samples.target if self.with_target else None,
            watched=samples.target,
        )

    def votes(self, rows: Ints) -> Votes:
        """What the kindred users of `rows` bought of the asked domain, whether a prompt shows it or not."""
        samples = self.samples.take(rows)
        return count_votes(self.known, self._kindred(samples, rows), asked=samples, item_domain=self.item_domain)

    def _kindred(self, samples: Samples, rows: Ints) -> Ints:
        """[B, num_neighbours] rows of `known`."""
        near = self.neighbours.matrix(rows)
        return distinct_users(near, users=self.known.user, own=samples.user, limit=self.num_neighbours)

    def _groups(self, samples: Samples, kindred_BK: Ints) -> Groups:
        if self.form == "histories":
            return histories_of(self.known, kindred_BK, most=self.kindred_items, pad=self.pad)
        return votes_of(
            self.known, kindred_BK, most=self.kindred_items, asked=samples, item_domain=self.item_domain, pad=self.pad
        )


def distinct_users(rows: Ints, *, users: Ints, own: Ints, limit: int) -> Ints:
    """The first `limit` rows [B, limit] of different users, none of them the sample's own user.

    rows: [B, L] rows of who may be kindred, nearest first, NOBODY where there is none. The samples of one user have the
    same history, so that a second one would say nothing new.
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


def read_neighbours(run_dir: Path, split: Split, *, samples: Samples, known: Samples) -> NeighbourRows:
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
    return NeighbourRows(rows=known.row_of(ids) if len(ids) else ids, offsets=offsets - offsets[0])


def no_neighbours(count: int) -> NeighbourRows:
    """Nobody, for `count` samples."""
    return NeighbourRows(rows=np.zeros(0, dtype=np.int64), offsets=np.zeros(count + 1, dtype=np.int64))
