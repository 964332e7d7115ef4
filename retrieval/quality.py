"""How good retrieved users are: do they hold the target, and at what length; beside random users.

For the k nearest of each sample: `hit_rate@k` is the share whose target is in one of their histories (what a prompt
can show), `mean_length@k` the items that those histories hold, `uhr@k` the quotient; `item_hit_rate@k` counts all
that the neighbours have in train, histories and targets; `recent_hit_rate@k`, where only the latest items of a user
count, is the share whose target is among these. `random_...` are the same for users drawn at random;
Of `num_searched` samples, `index_recall` is the share of the nearest by vectors that an approximate index finds, and
`posterior_recall` the share of the best by what is expected that are found by the likeliest items' holders.
`vectors_...`, or `posterior_...`, for the way that was not chosen, asked for `num_compared` of the samples.
Names without `@k` are for all neighbours in the table; `num_short` samples have fewer than k.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from launch.distributed import ALONE, World
from pairs.ragged import offsets_of, rows_of, segments
from pairs.tables import Ints, Samples
from retrieval.fixed_point import Floats
from retrieval.indexes.sharded import ShardedIndex
from retrieval.keys import Keys
from retrieval.kindred import Asking, find_kindred
from retrieval.posterior.holders import latest_items

Flags = npt.NDArray[np.bool_]
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


@dataclass(frozen=True)
class Holdings:
    """Lists of items, one a group, as one flat array."""

    items: Ints
    offsets: Ints

    def contain(self, groups: Ints, wanted: Ints) -> Flags:
        """Whether list `groups[b, j]` (-1: none) holds item `wanted[b]`: [B, k]."""
        present = groups >= 0
        starts = np.where(present, self.offsets[groups], 0).ravel()
        lengths = np.where(present, self.offsets[groups + 1] - self.offsets[groups], 0).ravel()
        cells, flat = rows_of(lengths), segments(starts, lengths)
        equal = self.items[flat] == np.repeat(np.repeat(wanted, groups.shape[1]), lengths)
        return (np.bincount(cells[equal], minlength=groups.size) > 0).reshape(groups.shape)


class HitCounter:
    """Counts hits and lengths of neighbours against a train table, whose rows it looks up as they are asked for."""

    def __init__(self, train: Samples, keys: Keys, *, cuts: Sequence[int], recent: int | None = None) -> None:
        """`recent`: the latest items of a history of which hits are counted for themselves; None: they are not."""
        self._train = train
        self._keys = keys
        self._cuts = sorted(set(cuts))
        self._recent = recent
        self._by_user = np.argsort(train.user, kind="stable")
        self._users = train.user[self._by_user]

    @property
    def names(self) -> list[str]:
        """What `count` counts, before division by the number of samples."""
        names = ["hit_rate", "item_hit_rate", "mean_length", *(["recent_hit_rate"] if self._recent is not None else [])]
        return [f"{name}@{k}" for name in names for k in self._cuts]

    def count(self, neighbours: Ints, targets: Ints) -> Ints:
        """Sums over samples with neighbours [B, k] (sample ids, -1: none), in the order of `names`."""
        rows, group_of = np.unique(self._keys.position_of(neighbours), return_inverse=True)
        present = rows >= 0
        rows, groups = rows[present], group_of.reshape(neighbours.shape) - int((~present).sum())
        kept = self._train.take(self._keys.row[rows])
        lengths = np.where(groups >= 0, np.append(kept.lengths, 0)[groups], 0)
        hits = Holdings(kept.history, kept.offsets).contain(groups, targets)
        item_hits = self._belongings(self._keys.user[rows]).contain(groups, targets)
        sums = [
            *(int(hits[:, :k].any(axis=1).sum()) for k in self._cuts),
            *(int(item_hits[:, :k].any(axis=1).sum()) for k in self._cuts),
            *(int(lengths[:, :k].sum()) for k in self._cuts),
        ]
        if self._recent is not None:
            latest = latest_items(kept, self._recent)
            recent_hits = Holdings(latest.history, latest.offsets).contain(groups, targets)
            sums += [int(recent_hits[:, :k].any(axis=1).sum()) for k in self._cuts]
        return np.array(sums, dtype=np.int64)

    def _belongings(self, users: Ints) -> Holdings:
        """All items of each of `users` in train, histories and targets, some of them often."""
        starts, stops = (np.searchsorted(self._users, users, side=side) for side in SIDES)
        counts = stops - starts
        kept = self._train.take(self._by_user[segments(starts, counts)])
        owner = np.concatenate([np.repeat(rows_of(counts), kept.lengths), rows_of(counts)])
        order = np.argsort(owner, kind="stable")
        items = np.concatenate([kept.history, kept.target])[order]
        return Holdings(items, offsets_of(np.bincount(owner, minlength=len(users))))


class RandomIndex:
    """A `TopKIndex` whose order is drawn anew for every query: the users that chance would find."""

    def __init__(self, keys: Keys, seed: Sequence[int]) -> None:
        self._num_keys = len(keys)
        self._random = np.random.default_rng(seed)
        self._by_time = np.arange(len(keys)) if keys.last_time is None else np.argsort(keys.last_time, kind="stable")
        self._times = None if keys.last_time is None else keys.last_time[self._by_time]

    def search(self, queries: Floats, k: int, before: Ints | None = None) -> tuple[Floats, Ints]:
        """Keys at random; below a quarter of all keys a key may come twice, which the filter by user drops."""
        num_allowed = np.full(len(queries), self._num_keys)
        order = np.arange(self._num_keys)
        if before is not None and self._times is not None:
            num_allowed, order = np.searchsorted(self._times, before), self._by_time
        drawn = np.full((len(queries), k), -1, dtype=np.int64)
        many = np.flatnonzero(4 * k < num_allowed)
        drawn[many] = order[self._random.integers(0, num_allowed[many, None], (len(many), k))]
        few = np.flatnonzero(4 * k >= num_allowed)
        width = int(num_allowed[few].max(initial=0))
        shuffled = self._random.random((len(few), width))
        shuffled[np.arange(width) >= num_allowed[few, None]] = np.inf
        places = np.argsort(shuffled, axis=1, kind="stable")[:, :k]
        there = np.arange(places.shape[1]) < num_allowed[few, None]
        drawn[few, : places.shape[1]] = np.where(there, order[places], -1) if width else -1
        return np.where(drawn < 0, -np.inf, 0).astype(np.float32), drawn


def random_kindred(keys: Keys, asking: Asking[Floats], k: int, *, seed: Sequence[int]) -> Ints:
    """k random other users' samples [B, k], under the same rules as the nearest."""
    index = ShardedIndex(ALONE, RandomIndex(keys, seed))
    return keys.samples_at(find_kindred(index, asking, k, keys=keys, per_user=1)[1])  # chance brings few of one user


def count_common(left: Ints, right: Ints) -> int:
    """How many of the entries (-1: none) of each row of `left` [B, k] are in the same row of `right` [B, k], summed."""
    return int(((left[:, :, None] == right[:, None, :]) & (left >= 0)[:, :, None]).sum())


def rates(
    counts: Mapping[str, Ints], *, names: Sequence[str], num_samples: int, k: int, world: World
) -> dict[str, float]:
    """Counts of all ranks, summed and divided: entries of quality.json for one split.

    Args:
        counts: by what the names begin with: "" for the neighbours, `random_`, or the other way's.
    """
    totals = world.sum(torch.from_numpy(np.stack(list(counts.values())))).cpu().numpy()
    per_sample = totals / max(1, num_samples)
    quality: dict[str, float] = {}
    for prefix, row in zip(counts, per_sample, strict=True):
        quality |= {prefix + name: float(rate) for name, rate in zip(names, row, strict=True)}
    for name in names:
        if name.startswith("hit_rate@"):
            cut = name.removeprefix("hit_rate@")
            for prefix in counts:
                length = quality[f"{prefix}mean_length@{cut}"]
                quality[f"{prefix}uhr@{cut}"] = quality[f"{prefix}hit_rate@{cut}"] / length if length else 0.0
    whole = {name.removesuffix(f"@{k}"): rate for name, rate in quality.items() if name.endswith(f"@{k}")}
    return whole | quality
