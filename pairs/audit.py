"""Audit a prepared pair for leaks: what must not be known about a held-out target before it is asked for.

Each check counts what it finds. A finding that `pair.audit_allow` does not name ends the run; one that it names stays
in the data card, counted.
"""

import logging
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.tables import Ints, Samples, Split

IN_ORDER: tuple[tuple[Split, Split], ...] = (("train", "valid"), ("train", "test"), ("valid", "test"))
LONG_ENOUGH = 5
"""Two users may well have the same few items; so many in the same order is one user under two names, or a copy."""
BY_CHANCE = 0.001
"""Yet among millions some will (a series read in order): so large a share of a split's samples is let pass."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """How often a check found what it looks for; `found` is None where the data cannot tell."""

    check: str
    found: int | None
    example: str = ""
    tolerated: bool = False
    """What was found is no more than chance explains."""

    @property
    def fails(self) -> bool:
        """Whether it ends a run that does not allow it."""
        return bool(self.found) and not self.tolerated


def audit_pair(samples: dict[Split, Samples], config: PairConfig) -> dict[str, Any]:  # Any: plain JSON values
    """The card's entry; InputError at the first finding that is not allowed."""
    rule = config.split_rule
    findings = find_leaks(samples, disjoint_users=rule in ("user", "released"), cut_in_time=rule == "time")
    card: dict[str, Any] = {}
    for finding in findings:
        allowed = finding.check in config.allowed_findings
        if finding.fails and not allowed:
            raise InputError(
                f"leak audit: {finding.check}: {finding.found} found, {finding.example}; mend the data, or add "
                f"{finding.check} to pair.audit_allow if it is meant"
            )
        if finding.found:
            log.warning("leak audit: %s: %d found, %s", finding.check, finding.found, finding.example)
        state = {"allowed": allowed} if finding.fails else {}
        card[finding.check] = {
            "found": finding.found,
            **({"example": finding.example} if finding.found else {}),
            **state,
        }
    return card


def find_leaks(samples: dict[Split, Samples], *, disjoint_users: bool, cut_in_time: bool) -> list[Finding]:
    """Every check's finding."""
    return [
        *([find_late_train(samples)] if cut_in_time else []),
        *([find_shared_users(samples)] if disjoint_users else []),
        find_later_history(samples),
        find_target_in_history(samples),
        find_held_out_in_train(samples),
        find_identical_histories(samples),
    ]


def find_shared_users(samples: dict[Split, Samples]) -> Finding:
    """Users that have samples in two splits."""
    shared = [
        (user, one, other)
        for one, other in combinations(samples, 2)
        for user in np.intersect1d(samples[one].user, samples[other].user).tolist()
    ]
    example = f"user {shared[0][0]} is in {shared[0][1]} and {shared[0][2]}" if shared else ""
    return Finding("user_in_two_splits", len({user for user, _, _ in shared}), example)


def find_later_history(samples: dict[Split, Samples]) -> Finding:
    """Samples with a history item later than the target; without timestamps nobody can tell."""
    found, example = 0, ""
    for split, table in samples.items():
        if table.history_time is None or table.target_time is None:
            return Finding("history_later_than_target", None)
        row = _rows(table)
        found, example = _count(table, split, row[table.history_time > table.target_time[row]], found, example)
    return Finding("history_later_than_target", found, example)


def find_late_train(samples: dict[Split, Samples]) -> Finding:
    """Train samples whose target is not before every held-out one: the graph made of them would know the future."""
    first = min(int(samples[split].target_time.min()) for split in ("valid", "test"))  # type: ignore[union-attr]
    table = samples["train"]
    assert table.target_time is not None, "a cut in time without times"
    return Finding(
        "train_later_than_held_out", *_count(table, "train", np.flatnonzero(table.target_time >= first), 0, "")
    )


def find_target_in_history(samples: dict[Split, Samples]) -> Finding:
    """Samples whose history holds the target: a repeat, which a model may copy and a filtered ranking cannot find."""
    found, example = 0, ""
    for split, table in samples.items():
        row = _rows(table)
        found, example = _count(table, split, row[table.history == table.target[row]], found, example)
    return Finding("target_in_history", found, example)


def find_held_out_in_train(samples: dict[Split, Samples]) -> Finding:
    """Valid and test targets that are among the train samples' interactions, of which the item graph is made, and test
    targets among valid's; where all is timed, only the same purchase counts, not an earlier one of the same item."""
    timed = all(table.target_time is not None for table in samples.values())
    keys = ["user", "item", "time"] if timed else ["user", "item"]
    found, example = 0, ""
    for earlier, later in IN_ORDER:
        targets = _targets(samples[later], timed=timed).with_row_index("row")
        rows = targets.join(_interactions(samples[earlier], timed=timed), on=keys, how="semi")["row"].to_numpy()
        found, example = _count(samples[later], f"{later} (seen in {earlier})", rows, found, example)
    return Finding("held_out_in_train", found, example)


def find_identical_histories(samples: dict[Split, Samples]) -> Finding:
    """Held-out samples whose history, of some length, is another user's in an earlier split."""
    keys = {split: _history_keys(table) for split, table in samples.items()}
    found, example, tolerated = 0, "", True
    for earlier, later in IN_ORDER:
        owners = (
            keys[earlier].group_by("history", "length").agg(pl.col("user").min(), pl.col("user").max().alias("last"))
        )
        same = keys[later].join(owners, on=["history", "length"], suffix="_earlier")
        others = (pl.col("user") != pl.col("user_earlier")) | (pl.col("user") != pl.col("last"))
        rows = same.filter(others)["row"].to_numpy()
        tolerated &= len(rows) <= BY_CHANCE * len(samples[later])
        found, example = _count(samples[later], f"{later} (also in {earlier})", rows, found, example)
    return Finding("identical_histories", found, example, tolerated)


def _count(table: Samples, where: str, rows: Ints, found: int, example: str) -> tuple[int, str]:
    rows = np.unique(rows)
    if len(rows) and not example:
        sample, user = int(table.sample[rows[0]]), int(table.user[rows[0]])
        example = f"the first: sample {sample} of user {user} in {where}"
    return found + len(rows), example


def _rows(table: Samples) -> Ints:
    return np.repeat(np.arange(len(table), dtype=np.int64), table.lengths)


def _targets(table: Samples, *, timed: bool) -> pl.DataFrame:
    times = {"time": table.target_time} if timed else {}
    return pl.DataFrame({"user": table.user, "item": table.target, **times})


def _interactions(table: Samples, *, timed: bool) -> pl.DataFrame:
    times = {"time": table.history_time} if timed else {}
    history = pl.DataFrame({"user": table.user[_rows(table)], "item": table.history, **times})
    return pl.concat([history, _targets(table, timed=timed)]).unique()


def _history_keys(table: Samples) -> pl.DataFrame:
    """row, user, history (hashed), length of every sample whose history is long enough."""
    events = pl.DataFrame({"row": _rows(table), "item": table.history})
    hashed = events.group_by("row", maintain_order=True).agg("item", length=pl.len())
    hashed = hashed.filter(pl.col("length") >= LONG_ENOUGH).with_columns(history=pl.col("item").hash(seed=0))
    return hashed.select("row", "history", "length", user=pl.Series(table.user)[hashed["row"]])
