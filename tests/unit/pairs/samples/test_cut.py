"""Samples against a slow, obvious reference, and the promises of each split rule."""

from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import InputError
from pairs.card.tally import tally
from pairs.config import PairConfig
from pairs.publish import check_domains
from pairs.samples.cut import SplitPlan, assign_parts, choose_cuts, choose_targets, cut_samples, plan_split
from pairs.tables import SPLITS, Samples, Split

Rule = Literal["time", "last_out", "last_one_out", "user"]
Row = tuple[int, int, tuple[int, ...], int, int]  # user, domain, history, target, target time
NUM_X = 10

purchases = st.dictionaries(
    st.tuples(st.integers(0, 9), st.integers(0, 19)),  # user, item: each bought once
    st.integers(1, 25),  # time, often equal
    min_size=1,
    max_size=90,
)


def frame(times: dict[tuple[int, int], int]) -> pl.DataFrame:
    """Events in order; users are numbered anew, without gaps."""
    number = {user: place for place, user in enumerate(sorted({user for user, _ in times}))}
    rows = [(number[user], item, int(item >= NUM_X), time) for (user, item), time in times.items()]
    schema = {"user": pl.Int64, "item": pl.Int64, "domain": pl.Int8, "time": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("user", "time", "item")


def config(rule: Rule, **changes: Any) -> PairConfig:
    return PairConfig(source="amazon", path="d", splits=rule, valid_share=0.2, test_share=0.2, **changes)


def plan(events: pl.DataFrame, settings_: PairConfig) -> SplitPlan:
    times = events["time"].to_numpy()
    return plan_split(settings_, num_users=events["user"].n_unique(), times=lambda: np.array_split(times, 3))


def parts(events: pl.DataFrame, settings_: PairConfig) -> pl.DataFrame:
    return assign_parts(events, plan(events, settings_))


def rows_of(samples: Samples) -> list[Row]:
    assert samples.target_time is not None
    columns = (samples.user, samples.domain, samples.target, samples.target_time)
    return [
        (u, d, tuple(samples.history_of(row).tolist()), t, when)
        for row, (u, d, t, when) in enumerate(zip(*(column.tolist() for column in columns), strict=True))
    ]


def slow_samples(events: pl.DataFrame, rule: Rule, settings_: PairConfig) -> dict[Split, list[Row]]:
    """Every sample by filtering a list of events, from the definition."""
    assigned = parts(events, settings_).rows(named=True)
    expected: dict[Split, list[Row]] = {}
    for part, name in enumerate(SPLITS):
        rows = []
        for user in sorted({event["user"] for event in assigned}):
            for domains in ((0, 1),) if rule == "last_one_out" else ((0,), (1,)):
                mine = [e for e in assigned if e["user"] == user and e["part"] <= part]
                possible = []
                for event in mine:
                    before = [e for e in mine if e["time"] < event["time"]]
                    if event["part"] == part and event["domain"] in domains and len(before) >= settings_.min_history:
                        history = tuple(e["item"] for e in before)[-settings_.max_history :]
                        possible.append((user, event["domain"], history, event["item"], event["time"]))
                if part > 0:
                    possible = possible[:1] if rule == "time" else possible[-1:]
                rows += possible[-settings_.samples_per_user :]
        expected[name] = sorted(rows, key=lambda row: (row[0], row[4], row[3]))
    return expected


@pytest.mark.parametrize("rule", ["time", "last_out", "last_one_out", "user"])
@settings(max_examples=60, deadline=None)
@given(times=purchases, max_history=st.integers(1, 6), min_history=st.integers(1, 3), per_user=st.integers(1, 3))
def test_samples_equal_the_slow_definition(
    rule: Rule, times: dict[tuple[int, int], int], max_history: int, min_history: int, per_user: int
) -> None:
    settings_ = config(rule, max_history=max_history, min_history=min_history, samples_per_user=per_user)
    events = frame(times)
    samples = cut_samples(parts(events, settings_), settings_)
    expected = slow_samples(events, rule, settings_)
    assert {split: rows_of(table) for split, table in samples.items()} == expected
    ids = np.concatenate([samples[split].sample for split in SPLITS])
    assert ids.tolist() == list(range(len(ids)))


@settings(max_examples=60, deadline=None)
@given(times=purchases)
def test_last_one_out_holds_out_the_last_two_events_of_a_user_whatever_their_domains(
    times: dict[tuple[int, int], int],
) -> None:
    settings_, events = config("last_one_out", samples_per_user=99), frame(times)
    samples = cut_samples(parts(events, settings_), settings_)
    mine = {user: [row for row in events.rows() if row[0] == user] for user in events["user"].unique().to_list()}

    def possible(kept: list[tuple[int, ...]]) -> list[Row]:
        """Each event as the target of those strictly before it."""
        read: list[Row] = []
        for user, item, domain, time in kept:
            history = tuple(event[1] for event in kept if event[3] < time)
            read += [(user, domain, history, item, time)] if history else []
        return read

    def last_of(kept: list[tuple[int, ...]]) -> list[Row]:
        return [row for row in possible(kept) if kept and (row[3], row[4]) == (kept[-1][1], kept[-1][3])]

    rows = [events for _, events in sorted(mine.items())]
    assert rows_of(samples["test"]) == [row for kept in rows for row in last_of(kept)]
    assert rows_of(samples["valid"]) == [row for kept in rows if len(kept) > 1 for row in last_of(kept[:-1])]
    assert rows_of(samples["train"]) == [row for kept in rows for row in possible(kept[:-2])]


def many_events(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return frame({(u, i): int(rng.integers(1, 400)) for u in range(40) for i in rng.permutation(20)[:12].tolist()})


@pytest.mark.parametrize("rule", ["time", "last_out", "last_one_out", "user"])
def test_every_history_item_is_strictly_before_its_target(rule: Rule) -> None:
    for table in cut_samples(parts(many_events(), config(rule)), config(rule)).values():
        assert table.history_time is not None
        assert table.target_time is not None
        assert (table.history_time < np.repeat(table.target_time, table.lengths)).all()


def test_time_cuts_separate_the_splits() -> None:
    cuts = plan(many_events(), config("time")).cuts
    assert cuts is not None
    first, second = cuts
    samples = cut_samples(parts(many_events(), config("time")), config("time"))
    times = {name: table.target_time for name, table in samples.items()}
    assert times["train"] is not None
    assert times["valid"] is not None
    assert times["test"] is not None
    assert times["train"].max() <= first < times["valid"].min()
    assert times["valid"].max() <= second < times["test"].min()


@pytest.mark.parametrize("rule", ["time", "last_out", "last_one_out"])
def test_what_is_held_out_is_in_no_earlier_history(rule: Rule) -> None:
    settings_ = config(rule, samples_per_user=9)
    samples = cut_samples(parts(many_events(), settings_), settings_)

    def seen(table: Samples) -> set[tuple[int, int]]:
        users = np.repeat(table.user, table.lengths)
        targets = zip(table.user.tolist(), table.target.tolist(), strict=True)
        return set(zip(users.tolist(), table.history.tolist(), strict=True)) | set(targets)

    def held_out(table: Samples) -> set[tuple[int, int]]:
        return set(zip(table.user.tolist(), table.target.tolist(), strict=True))

    assert not seen(samples["train"]) & held_out(samples["valid"])
    assert not seen(samples["train"]) & held_out(samples["test"])
    assert not seen(samples["valid"]) & held_out(samples["test"])


def test_users_are_divided_and_all_kept() -> None:
    samples = cut_samples(parts(many_events(), config("user")), config("user"))
    users = [set(samples[split].user.tolist()) for split in SPLITS]
    assert [len(some) for some in users] == [24, 8, 8]
    assert len(set.union(*users)) == 40


def test_user_split_follows_the_split_seed_only() -> None:
    def test_users(seed: int) -> list[int]:
        seeded = config("user", split_seed=seed)
        samples = cut_samples(parts(many_events(), seeded), seeded)
        return [int(user) for user in samples["test"].user]

    assert test_users(3) == test_users(3)
    assert test_users(3) != test_users(4)


def test_split_without_a_domain_is_refused() -> None:
    one_domain = {(user, item): user + item for user in range(9) for item in range(NUM_X)}
    samples = cut_samples(parts(frame(one_domain), config("user")), config("user"))
    tallied = tally([samples], np.array([0] * NUM_X + [1] * NUM_X, dtype=np.int8))
    with pytest.raises(InputError, match=r"train has no target in Books: an empty domain; change pair\.splits, raise"):
        check_domains(tallied, ("Art", "Books"), as_it_is=False)
    with pytest.raises(InputError, match="train has no target in Books: an empty domain; add such lines to its file"):
        check_domains(tallied, ("Art", "Books"), as_it_is=True)


@pytest.mark.parametrize("rule", ["time", "last_out", "last_one_out", "user"])
@settings(max_examples=40, deadline=None)
@given(times=purchases, cuts=st.sets(st.integers(0, 10), max_size=4), per_user=st.integers(1, 3))
def test_samples_of_bands_of_users_are_those_of_all_users(
    rule: Rule, times: dict[tuple[int, int], int], cuts: set[int], per_user: int
) -> None:
    settings_, events = config(rule, samples_per_user=per_user), frame(times)
    plan_ = plan(events, settings_)
    bands = [
        events.filter((pl.col("user") >= begin) & (pl.col("user") < end))
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), 99], strict=True)
    ]
    by_band = [cut_samples(assign_parts(band, plan_), settings_) for band in bands]
    whole = cut_samples(assign_parts(events, plan_), settings_)
    assert {s: [row for band in by_band for row in rows_of(band[s])] for s in SPLITS} == {
        s: rows_of(whole[s]) for s in SPLITS
    }


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.booleans()), max_size=40),
    count=st.integers(1, 3),
    first_ones=st.booleans(),
)
def test_chosen_targets_equal_a_loop_over_users_and_domains(
    rows: list[tuple[int, int, bool]], count: int, first_ones: bool
) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    events = pl.DataFrame(
        {"user": [row[0] for row in rows], "domain": [row[1] for row in rows]},
        schema={"user": pl.Int64, "domain": pl.Int8},
    )
    expected = []
    for key in {row[:2] for row in rows}:
        mine = [place for place, row in enumerate(rows) if row[:2] == key and row[2]]
        expected += mine[:count] if first_ones else mine[-count:]
    eligible = np.array([row[2] for row in rows], dtype=bool)
    assert choose_targets(events, eligible, count=count, first_ones=first_ones).tolist() == sorted(expected)


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 50), min_size=4, max_size=80),
    valid=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
)
def test_cuts_are_the_times_at_which_the_shares_of_the_sorted_events_begin(
    times: list[int], valid: float, test: float
) -> None:
    ordered = sorted(times)
    expected = tuple(ordered[round((1 - held_out) * len(ordered)) - 1] for held_out in (valid + test, test))
    pieces = np.array_split(np.array(times), 3)
    assert choose_cuts(lambda: pieces, valid_share=valid, test_share=test) == expected
