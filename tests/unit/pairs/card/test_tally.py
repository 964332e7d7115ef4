"""Sums over batches of users: those of one batch, and those that dictionaries and sets give."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from pairs.card.card import make_card
from pairs.card.tally import SplitTally, Tally, tally
from pairs.samples.spool import close_spools, open_spools, user_batches
from pairs.tables import SPLITS, Samples, Split
from tests.sample_rows import (
    DOMAIN_OF,
    NUM_ITEMS,
    NUM_X,
    Row,
    borders,
    cut_users,
    rows_lists,
    splits_of,
    splits_of_rows,
)

ITEMS = pl.DataFrame(
    {"item": range(NUM_ITEMS), "domain": DOMAIN_OF, "title": [f"t{n}" for n in range(NUM_ITEMS)], "attributes": ""}
)
Rows = dict[Split, list[Row]]


def card_of(tallied: Tally) -> dict[str, Any]:  # Any: plain JSON values
    return make_card(name="p", names=("Art", "Books"), items=ITEMS, tally=tallied, facts={})


@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
@settings(max_examples=60, deadline=None)
@given(rows=splits_of_rows, cuts=borders)
def test_card_of_many_batches_is_the_card_of_one(timed: bool, rows: Rows, cuts: set[int]) -> None:
    splits = splits_of(rows, timed=timed)
    assert card_of(tally(cut_users(splits, cuts), DOMAIN_OF)) == card_of(tally([splits], DOMAIN_OF))


@settings(max_examples=100, deadline=None)
@given(rows_lists)
def test_sums_of_a_split_equal_counting_row_by_row(rows: list[Row]) -> None:
    tallied = SplitTally(DOMAIN_OF)
    tallied.add(splits_of({"train": rows, "valid": [], "test": []})["train"])
    asked: dict[int, set[bool]] = {}
    most: Counter[tuple[int, int]] = Counter()
    for user, history, target in rows:
        asked.setdefault(user, set()).add(target[0] >= NUM_X)
        most |= Counter((user, item) for item, _ in [*history, target])
    items = [[item for item, _ in history] for _, history, _ in rows]
    assert tallied.num_samples.tolist() == [sum((row[2][0] >= NUM_X) == d for row in rows) for d in (False, True)]
    assert tallied.num_users == len(asked)
    assert tallied.users_asked.tolist() == [sum(d in mine for mine in asked.values()) for d in (False, True)]
    assert tallied.users_asked_both == sum(len(mine) == 2 for mine in asked.values())
    lists = Counter((row[0], tuple(history)) for row, history in zip(rows, items, strict=True))
    assert tallied.twin_users == len({user for (user, _), times in lists.items() if times > 1})
    targets = Counter(target for _, _, (target, _) in rows)
    assert tallied.target_counts.tolist() == [targets[item] for item in range(NUM_ITEMS)]
    assert tallied.item_counts.tolist() == [
        sum(count for (_, shown), count in most.items() if shown == item) for item in range(NUM_ITEMS)
    ]
    assert tallied.cells.tolist() == [sum((item >= NUM_X) == d for _, item in most) for d in (False, True)]
    lengths = Counter(len(history) for history in items)
    assert tallied.lengths.tolist() == [lengths[n] for n in range(max(lengths) + 1)]
    assert tallied.histories_of_both == sum(len({item >= NUM_X for item in history}) == 2 for history in items)
    assert tallied.repeats_in_history == sum(len(history) - len(set(history)) for history in items)
    assert tallied.repeated_targets == sum(row[2][0] in history for row, history in zip(rows, items, strict=True))
    times = [time for _, _, (_, time) in rows]
    assert tallied.target_times == (min(times), max(times))
    assert tallied.history_from == min(time for _, history, _ in rows for _, time in history)


@settings(max_examples=60, deadline=None)
@given(rows=splits_of_rows, cuts=borders)
def test_users_of_all_splits_are_counted_once(rows: Rows, cuts: set[int]) -> None:
    tallied = tally(cut_users(splits_of(rows), cuts), DOMAIN_OF)
    users = [{user for user, _, _ in rows[split]} for split in SPLITS]
    assert tallied.num_users == len(set.union(*users))
    assert (tallied.users_in_two_splits == 0) == (sum(map(len, users)) == tallied.num_users)


@settings(max_examples=30, deadline=None)
@given(rows=splits_of_rows)
def test_batches_of_any_size_hold_every_sample_once_and_whole_users(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows
) -> None:
    splits = splits_of(rows)
    spools = open_spools(tmp_path_factory.mktemp("spool") / "s")
    for split, table in splits.items():
        spools[split].append(table)
    close_spools(spools)
    for interactions in (1, 3, 10, 1000):
        batches = list(user_batches(spools, interactions=interactions))
        for split in SPLITS:
            assert np.concatenate([batch[split].sample for batch in batches]).tolist() == splits[split].sample.tolist()
            assert (
                np.concatenate([batch[split].history for batch in batches]).tolist() == splits[split].history.tolist()
            )
        mine = [set().union(*(batch[split].user.tolist() for split in SPLITS)) for batch in batches]
        assert sum(map(len, mine)) == len(set().union(*mine))
        assert interactions < 1000 or len(batches) == 1


def test_samples_that_are_not_in_order_of_their_users_are_one_batch(tmp_path: Path) -> None:
    rows: list[Row] = [(3, [(0, 1)], (1, 2)), (1, [(0, 1)], (1, 2)), (3, [(0, 1)], (6, 2))]
    splits = splits_of({"train": rows, "valid": rows, "test": rows})
    spools = open_spools(tmp_path / "s")
    for split, table in splits.items():
        spools[split].append(table)
    close_spools(spools)
    batches = list(user_batches(spools, interactions=1))
    assert len(batches) == 1
    assert batches[0]["test"].user.tolist() == [3, 1, 3]


def test_card_is_plain_json() -> None:
    rows: list[Row] = [(0, [(0, 1), (6, 2)], (1, 3)), (0, [(0, 1), (6, 2)], (7, 3))]
    other: list[Row] = [(1, [(0, 5)], (2, 6)), (1, [(0, 5)], (8, 6))]
    card = card_of(tally([splits_of({"train": rows, "valid": other, "test": other})], DOMAIN_OF))
    assert json.loads(json.dumps(card)) == card


def test_empty_split_adds_nothing() -> None:
    nobody: Samples = splits_of({"train": [], "valid": [], "test": []})["train"]
    tallied = SplitTally(DOMAIN_OF)
    tallied.add(nobody)
    assert len(tallied) == tallied.num_users == tallied.item_counts.sum() == 0
