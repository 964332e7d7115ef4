"""Every planted leak ends the run by its name, passes when it is allowed, and what is no leak passes anyway."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import InputError
from pairs.card.audit import Audit
from pairs.card.leak_checks import IN_ORDER, IdenticalHistories
from pairs.config import LeakCheck, PairConfig
from pairs.tables import SPLITS, Samples, Split
from tests.sample_rows import borders, cut_users, splits_of, splits_of_rows

Event = tuple[int, int]  # item, time
Row = tuple[int, list[Event], Event]  # user, history, target
TRAIN: list[Row] = [(0, [(1, 10), (2, 20)], (3, 30)), (1, [(n, n) for n in range(4, 10)], (51, 40))]
VALID: list[Row] = [(2, [(1, 10), (2, 20)], (50, 50))]
TEST: list[Row] = [(3, [(1, 10), (2, 60)], (3, 70))]


def samples(rows: list[Row], first: int, *, timed: bool = True) -> Samples:
    histories = [event for _, history, _ in rows for event in history]
    target = np.array([target for _, _, (target, _) in rows])
    return Samples(
        sample=np.arange(first, first + len(rows)),
        user=np.array([user for user, _, _ in rows]),
        domain=(target >= 50).astype(np.int64),
        target=target,
        history=np.array([item for item, _ in histories]),
        offsets=np.cumsum([0, *(len(history) for _, history, _ in rows)]).astype(np.int64),
        history_time=np.array([time for _, time in histories]) if timed else None,
        target_time=np.array([time for _, _, (_, time) in rows]) if timed else None,
    )


def splits(train: list[Row], valid: list[Row], test: list[Row], *, timed: bool = True) -> dict[Split, Samples]:
    return {
        "train": samples(train, 0, timed=timed),
        "valid": samples(valid, 100, timed=timed),
        "test": samples(test, 200, timed=timed),
    }


def config(rule: Any = "user", **changes: Any) -> PairConfig:
    return PairConfig(source="amazon", path="d", splits=rule, **changes)


def audit(batches: Sequence[Mapping[Split, Samples]], config: PairConfig) -> dict[str, Any]:  # Any: plain JSON values
    times = [b[split].target_time for b in batches for split in ("valid", "test") if len(b[split])]
    known = [int(time.min()) for time in times if time is not None]
    whole = Audit(config, first_held_out=min(known, default=None))
    for batch in batches:
        whole.add(batch)
    return whole.conclude()


def audit_pair(samples: dict[Split, Samples], config: PairConfig) -> dict[str, Any]:  # Any: plain JSON values
    return audit([samples], config)


LEAKS: list[tuple[LeakCheck, str, list[Row], str]] = [
    ("user_in_two_splits", "user", [(0, [(7, 61)], (8, 70))], "1 found, user 0 is in train and test"),
    (
        "user_later_in_earlier_split",
        "last_one_out",
        [(0, [(1, 10)], (9, 29))],
        r"sample 0 of user 0 in train \(ahead of test\)",
    ),
    ("history_later_than_target", "user", [(3, [(1, 71)], (9, 70))], "sample 200 of user 3 in test"),
    ("train_later_than_held_out", "time", [(3, [(1, 10)], (9, 40))], "sample 1 of user 1 in train"),
    ("target_in_history", "user", [(3, [(9, 10), (8, 20)], (9, 70))], "sample 200 of user 3 in test"),
    ("held_out_in_train", "last_out", [(0, [(7, 15)], (2, 20))], r"sample 200 of user 0 in test \(seen in train\)"),
    (
        "identical_histories",
        "user",
        [(4, [(1, 2)], (50, 9)), (3, [(n, n) for n in range(4, 10)], (52, 70))],
        r"sample 201 of user 3 in test \(also in train\)",
    ),
]


@pytest.mark.parametrize(("check", "rule", "test", "said"), LEAKS, ids=[leak[0] for leak in LEAKS])
def test_planted_leak_ends_the_run_unless_it_is_allowed(
    check: LeakCheck, rule: str, test: list[Row], said: str
) -> None:
    leaky = splits(TRAIN, VALID, test)
    with pytest.raises(InputError, match=f"leak audit: {check}: .*{said}.*pair.audit_allow"):
        audit_pair(leaky, config(rule))
    every: list[LeakCheck] = [leak[0] for leak in LEAKS]
    card = audit_pair(leaky, config(rule, audit_allow=every))
    assert card[check]["found"] == 1
    assert card[check]["allowed"] is True
    with pytest.raises(InputError, match=check):
        audit_pair(leaky, config(rule, audit_allow=[other for other in every if other != check]))


@pytest.mark.parametrize("rule", ["user", "time", "last_out", "last_one_out"])
def test_clean_pair_passes(rule: str) -> None:
    card = audit_pair(splits(TRAIN, VALID, TEST), config(rule))
    assert all(entry == {"found": 0} for entry in card.values())


def test_user_of_two_splits_is_no_leak_where_users_are_not_divided() -> None:
    audit_pair(splits(TRAIN, VALID, [(0, [(1, 10), (2, 20), (3, 30)], (8, 70))]), config("last_out"))


def test_item_bought_again_later_is_no_train_interaction() -> None:
    again = splits(TRAIN, VALID, [(0, [(1, 10)], (2, 70))])
    assert audit_pair(again, config("last_out"))["held_out_in_train"] == {"found": 0}


def test_without_times_a_later_history_cannot_be_told() -> None:
    card = audit_pair(splits(TRAIN, VALID, TEST, timed=False), config())
    assert card["history_later_than_target"] == {"found": None}


def test_few_identical_histories_among_many_are_chance() -> None:
    row: Row = (3, [(n, n) for n in range(4, 10)], (52, 70))
    others: list[Row] = [(user, [(user, 1)], (52, 70)) for user in range(1000, 2000)]
    card = audit_pair(splits(TRAIN, VALID, [row, *others]), config())
    assert card["identical_histories"]["found"] == 1
    assert "allowed" not in card["identical_histories"]


def test_repeats_are_allowed_where_they_are_meant(tmp_path: Path) -> None:
    repeated = splits(TRAIN, VALID, [(3, [(9, 10), (8, 20)], (9, 70))])
    assert audit_pair(repeated, config(duplicates="all"))["target_in_history"]["allowed"] is True
    with pytest.raises(InputError, match="target_in_history"):
        audit_pair(repeated, config(duplicates="all", audit_allow=[]))
    released = PairConfig(source="released", path=str(tmp_path))
    assert audit_pair(repeated, released)["target_in_history"]["allowed"] is True


short_histories = st.lists(st.integers(0, 1), min_size=4, max_size=7)
rows = st.lists(st.tuples(st.integers(0, 3), short_histories), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(rows, rows, rows)
def test_identical_histories_equal_comparing_every_two(
    train: list[tuple[int, list[int]]], valid: list[tuple[int, list[int]]], test: list[tuple[int, list[int]]]
) -> None:
    built = splits(*([(u, [(item, 1) for item in h], (9, 2)) for u, h in part] for part in (train, valid, test)))
    expected = sum(
        any(len(h) >= 5 and h == other and u != owner for owner, other in earlier)
        for earlier, later in ((train, valid), (train, test), (valid, test))
        for u, h in later
    )
    search = IdenticalHistories()
    search.add(built)
    assert search.finding().found == expected


every_check: list[LeakCheck] = [leak[0] for leak in LEAKS]


@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
@pytest.mark.parametrize("rule", ["user", "time", "last_out", "last_one_out"])
@settings(max_examples=50, deadline=None)
@given(rows=splits_of_rows, cuts=borders)
def test_audit_of_many_batches_says_what_that_of_one_says(
    rule: str, timed: bool, rows: dict[Split, list[Row]], cuts: set[int]
) -> None:
    built = splits_of(rows, timed=timed or rule == "time")
    allowing = config(rule, audit_allow=every_check)
    assert audit(cut_users(built, cuts), allowing) == audit([built], allowing)


def test_user_of_three_splits_counts_once() -> None:
    row: Row = (0, [(1, 10)], (8, 70))
    card = audit_pair(splits(TRAIN, [*VALID, row], [row]), config(audit_allow=every_check))
    assert card["user_in_two_splits"]["found"] == 1


@settings(max_examples=60, deadline=None)
@given(splits_of_rows)
def test_findings_equal_looking_at_every_sample(rows: dict[Split, list[Row]]) -> None:
    card = audit_pair(splits_of(rows), config("time", audit_allow=every_check))
    users = {split: {user for user, _, _ in rows[split]} for split in SPLITS}
    first = min(time for split in ("valid", "test") for _, _, (_, time) in rows[split])
    seen = {split: {(user, *e) for user, h, target in rows[split] for e in (*h, target)} for split in SPLITS}
    assert {check: entry["found"] for check, entry in card.items()} == {
        "train_later_than_held_out": sum(time >= first for _, _, (_, time) in rows["train"]),
        "history_later_than_target": sum(
            any(time > target[1] for _, time in history) for split in SPLITS for _, history, target in rows[split]
        ),
        "target_in_history": sum(
            target[0] in {item for item, _ in history} for split in SPLITS for _, history, target in rows[split]
        ),
        "held_out_in_train": sum(
            (user, *target) in seen[earlier] for earlier, later in IN_ORDER for user, _, target in rows[later]
        ),
        "identical_histories": sum(
            len(h) >= 5 and any(u != user and [i for i, _ in g] == [i for i, _ in h] for u, g, _ in rows[earlier])
            for earlier, later in IN_ORDER
            for user, h, _ in rows[later]
        ),
    }
    by_user = audit_pair(splits_of(rows), config("user", audit_allow=every_check))["user_in_two_splits"]
    assert by_user["found"] == len({user for one, other in IN_ORDER for user in users[one] & users[other]})
    one_out = audit_pair(splits_of(rows), config("last_one_out", audit_allow=every_check))
    assert one_out["user_later_in_earlier_split"]["found"] == sum(
        any(u == user and held_out < time for u, _, (_, held_out) in rows[later])
        for earlier, later in IN_ORDER
        for user, _, (_, time) in rows[earlier]
    )


def test_split_that_has_no_times_makes_held_out_targets_comparable_by_item_only() -> None:
    """However the users fall into batches: times of some splits alone are no times."""
    train, valid = samples(TRAIN, 0), samples(VALID, 100, timed=False)
    built: dict[Split, Samples] = {"train": train, "valid": valid, "test": samples([(0, [(7, 15)], (2, 70))], 200)}
    allowing = config("last_out", audit_allow=every_check)
    assert audit([built], allowing)["held_out_in_train"]["found"] == 1
    one, other = (
        {s: t.take(np.flatnonzero((t.user == 2) == mine)) for s, t in built.items()} for mine in (True, False)
    )
    assert audit([other, one], allowing) == audit([built], allowing)


def test_cut_in_time_without_held_out_targets_has_no_late_train_samples() -> None:
    nobody: dict[Split, Samples] = splits(TRAIN, [], [])
    assert audit_pair(nobody, config("time"))["held_out_in_train"] == {"found": 0}
