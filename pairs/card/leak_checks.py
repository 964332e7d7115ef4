"""The checks of the leak audit: each looks at the samples of some users after the other, then says what it found."""

from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
import polars as pl

from pairs.history_keys import history_keys
from pairs.samples.spool import UserSamples
from pairs.tables import SPLITS, Ints, Samples, Split

IN_ORDER: tuple[tuple[Split, Split], ...] = (("train", "valid"), ("train", "test"), ("valid", "test"))
SEEN_IN, AHEAD_OF = "{} (seen in {})", "{} (ahead of {})"
PLACES = (
    *SPLITS,
    *(SEEN_IN.format(later, earlier) for earlier, later in IN_ORDER),
    *(AHEAD_OF.format(earlier, later) for earlier, later in IN_ORDER),
)
"""Where a sample can be, in the order in which an example is chosen."""
LONG_ENOUGH = 5
"""Two users may well have the same few items; so many in the same order is one user under two names, or a copy."""
BY_CHANCE = 0.001
"""Yet among millions some will (a series read in order): so large a share of a split's samples is let pass."""


@dataclass(frozen=True)
class Finding:
    """How often a check found what it looks for; `found` is None where the data cannot tell."""

    found: int | None
    example: str = ""
    tolerated: bool = False
    """What was found is no more than chance explains."""


class LeakSearch(Protocol):
    """One check."""

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""

    def finding(self) -> Finding:
        """What was found in all batches."""


class _Counted:
    """A count, and in words the first sample that was counted; the same in whatever batches the users come."""

    def __init__(self) -> None:
        self._found = 0
        self._examples = dict.fromkeys(PLACES, "")
        self._can_tell = True

    def count(self, table: Samples, where: str, rows: Ints) -> None:
        """Samples of a table; a row that stands there twice counts once."""
        rows = np.unique(rows)
        if len(rows) and not self._examples[where]:
            sample, user = int(table.sample[rows[0]]), int(table.user[rows[0]])
            self._examples[where] = f"the first: sample {sample} of user {user} in {where}"
        self._found += len(rows)

    def finding(self) -> Finding:
        """What was found in all batches."""
        example = next(filter(None, self._examples.values()), "")
        return Finding(self._found, example) if self._can_tell else Finding(None)


class FutureTrain(_Counted):
    """Train samples whose target is not before every held-out one: the graph made of them would know the future."""

    def __init__(self, first_held_out: int) -> None:
        super().__init__()
        self._first_held_out = first_held_out

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        train = batch["train"]
        if train.target_time is not None:
            self.count(train, "train", np.flatnonzero(train.target_time >= self._first_held_out))


class SharedUsers:
    """Users that have samples in two splits."""

    def __init__(self) -> None:
        self._found = 0
        self._examples = dict.fromkeys(combinations(SPLITS, 2), "")

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        users = {split: np.unique(table.user) for split, table in batch.items()}
        shared = {(one, other): np.intersect1d(users[one], users[other]) for one, other in combinations(SPLITS, 2)}
        for (one, other), both in shared.items():
            if len(both) and not self._examples[one, other]:
                self._examples[one, other] = f"user {both[0]} is in {one} and {other}"
        self._found += len(np.unique(np.concatenate(list(shared.values()))))

    def finding(self) -> Finding:
        """What was found in all batches."""
        return Finding(self._found, next(filter(None, self._examples.values()), ""))


class LaterInEarlierSplit(_Counted):
    """Samples of users who are in a later split too, whose target comes after one that is held out there: what is held
    out was no longer to come. Without timestamps nobody can tell."""

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        for earlier, later in IN_ORDER:
            table, held_out = batch[earlier], batch[later]
            users = np.intersect1d(table.user, held_out.user)
            if not len(users):
                continue
            if table.target_time is None or held_out.target_time is None:
                self._can_tell = False
                continue
            first = pl.DataFrame({"user": held_out.user, "first": held_out.target_time}).group_by("user").min()
            asked = pl.DataFrame({"user": table.user, "time": table.target_time}).with_row_index("row")
            late = asked.join(first, on="user").filter(pl.col("time") > pl.col("first"))
            self.count(table, AHEAD_OF.format(earlier, later), late["row"].to_numpy().astype(np.int64))


class LaterHistories(_Counted):
    """Samples whose history holds what came after the target; without timestamps nobody can tell."""

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        for split, table in batch.items():
            if not len(table):
                continue
            if table.history_time is None or table.target_time is None:
                self._can_tell = False
                continue
            row = table.item_rows
            self.count(table, split, row[table.history_time > table.target_time[row]])


class TargetsInHistory(_Counted):
    """Samples whose history holds the target: a repeat, which a model may copy and a filtered ranking cannot find."""

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        for split, table in batch.items():
            row = table.item_rows
            self.count(table, split, row[table.history == table.target[row]])


class HeldOutInTrain(_Counted):
    """Valid and test targets that are among the train samples' interactions, of which the item graph is made, and test
    targets among valid's; where all is timed, only the same purchase counts, not an earlier one of the same item."""

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        timed = all(table.target_time is not None for table in batch.values())
        for earlier, later in IN_ORDER:
            users = np.intersect1d(batch[earlier].user, batch[later].user)
            if not len(users):
                continue
            asked = _targets(batch[later], users, timed=timed)
            seen = pl.concat(
                [_histories(batch[earlier], users, timed=timed), _targets(batch[earlier], users, timed=timed)]
            )
            keys = [name for name in asked.columns if name != "row"]
            rows = asked.join(seen, on=keys, how="semi")["row"].to_numpy()
            self.count(batch[later], SEEN_IN.format(later, earlier), rows)


class IdenticalHistories:
    """Held-out samples whose history, of some length, is another user's in an earlier split."""

    def __init__(self) -> None:
        self._keys: dict[Split, list[pl.DataFrame]] = {split: [] for split in SPLITS}
        self._num_samples = dict.fromkeys(SPLITS, 0)

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        for split, table in batch.items():
            long = table.lengths >= LONG_ENOUGH
            self._num_samples[split] += len(table)
            columns = {"key": history_keys(table) + table.lengths.astype(np.uint64), "user": table.user}
            frame = pl.DataFrame(columns)
            if split != "train":
                frame = frame.with_columns(sample=pl.Series(table.sample))
            self._keys[split].append(frame.filter(pl.Series(long)))

    def finding(self) -> Finding:
        """What was found in all batches."""
        keys = {split: pl.concat(frames) for split, frames in self._keys.items()}
        total, example, tolerated = 0, "", True
        for earlier, later in IN_ORDER:
            same = keys[earlier].join(keys[later].select("key").unique(), on="key", how="semi")
            owners = same.group_by("key").agg(pl.col("user").min().alias("one"), pl.col("user").max().alias("other"))
            others = (pl.col("user") != pl.col("one")) | (pl.col("user") != pl.col("other"))
            hits = keys[later].join(owners, on="key").filter(others).sort("sample")
            tolerated &= hits.height <= BY_CHANCE * self._num_samples[later]
            if hits.height and not example:
                sample, user = hits["sample"][0], hits["user"][0]
                example = f"the first: sample {sample} of user {user} in {later} (also in {earlier})"
            total += hits.height
        return Finding(total, example, tolerated)


def _targets(table: Samples, users: Ints, *, timed: bool) -> pl.DataFrame:
    rows = np.flatnonzero(np.isin(table.user, users))
    times = {"time": table.target_time[rows]} if timed and table.target_time is not None else {}
    return pl.DataFrame({"row": rows, "user": table.user[rows], "item": table.target[rows], **times})


def _histories(table: Samples, users: Ints, *, timed: bool) -> pl.DataFrame:
    row = table.item_rows
    inside = np.isin(table.user, users)[row]
    times = {"time": table.history_time[inside]} if timed and table.history_time is not None else {}
    columns = {"row": row[inside], "user": table.user[row[inside]], "item": table.history[inside]}
    return pl.DataFrame({**columns, **times})
