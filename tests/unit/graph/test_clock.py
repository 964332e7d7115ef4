"""What sold of a candidate before a moment: as a slow look finds it, own purchases left out, nothing of the future."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.matrices import DAY
from graph.batches import Batch, make_batch
from graph.clock import AGE_SCALE, FACTS, NOW, OLDEST_DAYS, WINDOWS_DAYS, SalesClock, asked_earlier, clocks_of
from graph.config import GraphConfig
from graph.evidence import Evidence
from graph.load import Prepared, make_ranker, prepare
from graph.ranker import GraphRanker
from graph.ranking.parts import evidence_scores
from pairs.tables import Samples, joined
from tests.graph_runs import ALONE, NUM_ITEMS, NUM_X, make_splits, timed, tiny, write_run

Purchases = set[tuple[int, int, int]]  # user, item, time
TRAIN = timed(make_splits())["train"]


def purchases(samples: Samples, *, without: int | None = None) -> Purchases:
    assert samples.history_time is not None
    assert samples.target_time is not None
    user = [*samples.user[samples.item_rows].tolist(), *samples.user.tolist()]
    item = [*samples.history.tolist(), *samples.target.tolist()]
    time = [*samples.history_time.tolist(), *samples.target_time.tolist()]
    return {one for one in zip(user, item, time, strict=True) if one[0] != without}


def slow_facts(known: Purchases, item: int, moment: int, end: int) -> list[float]:
    at = min(moment, end)
    ages = [at - time for _, bought, time in known if bought == item and time < at]
    counts = [sum(age <= days * DAY for age in ages) for days in WINDOWS_DAYS]
    days = [min(OLDEST_DAYS, age / DAY) for age in (min(ages), max(ages))] if ages else [OLDEST_DAYS] * 2
    return [math.log1p(value) for value in (*counts, *days)]


def clocks() -> tuple[SalesClock, SalesClock]:
    made = clocks_of(TRAIN, NUM_X, NUM_ITEMS)
    assert made is not None
    return made


def facts_of_all(clock: SalesClock, moment: torch.Tensor) -> torch.Tensor:
    """[B, D, F]."""
    sold = clock.of_all(moment)
    assert sold.moment is not None
    return sold.facts[sold.moment]


@pytest.mark.parametrize("domain", [0, 1])
def test_facts_are_those_of_a_slow_look(domain: int) -> None:
    clock, first = clocks()[domain], NUM_X * domain
    known = purchases(TRAIN)
    times = sorted(time for _, _, time in known)
    moments = [0, times[0], times[1], times[40], times[40] + 1, 30 * DAY, times[-1], times[-1] + 1, 99 * DAY, NOW]
    facts = facts_of_all(clock, torch.tensor(moments))
    assert facts.shape == (len(moments), clock.size, len(FACTS))
    for row, moment in enumerate(moments):
        for column in range(clock.size):
            expected = slow_facts(known, first + column, moment, clock.end)
            assert facts[row, column].tolist() == pytest.approx(expected, abs=1e-5)
    cells = clock.of_cells(torch.tensor([4, 5, 8]), torch.tensor([3, 1, 3]), torch.tensor(moments))
    assert torch.equal(cells.facts, facts[[4, 5, 8], [3, 1, 3]])
    many = torch.arange(clock.size).repeat(12)  # more cells than a table of their moments has
    told = clock.of_cells(torch.arange(len(many)) % 3, many, torch.tensor(moments)[4:7])
    assert torch.equal(told.facts, facts[4 + torch.arange(len(many)) % 3, many])


@pytest.mark.parametrize("swept", [0, 8])
def test_tables_that_are_swept_are_those_that_are_looked_up(monkeypatch: pytest.MonkeyPatch, swept: int) -> None:
    clock = clocks()[0]
    random = np.random.default_rng(3)
    moments = torch.from_numpy(np.concatenate([random.integers(0, 99 * DAY, 40), clock.key[:9].numpy() % clock.span]))
    slow = torch.cat([facts_of_all(clock, moments[[row]]) for row in range(len(moments))])
    assert clock.size * len(moments) * 8 > len(clock.key)
    monkeypatch.setattr("graph.clock.SWEPT_A_CELL", swept)
    assert torch.equal(facts_of_all(clock, moments), slow)
    assert ("_by_time" in vars(clock)) == (swept > 0)
    assert clock.of_all(moments[:0]).facts.shape == (0, clock.size, len(FACTS))


@pytest.mark.parametrize("most", [0.0, 1e9])
@pytest.mark.parametrize("hours", [1, 24, 20 * 24])
def test_cells_of_moments_not_far_apart_are_those_of_each(
    monkeypatch: pytest.MonkeyPatch, most: float, hours: int
) -> None:
    clock, random = clocks()[1], np.random.default_rng(5)
    time_E = clock.key.numpy() % clock.span + clock.start
    first = random.choice(time_E, 12)[:, None] + np.array([0, 1])
    monkeypatch.setattr("graph.clock.MANY_BETWEEN", most)
    for start in first.ravel().tolist():
        moment_B = torch.from_numpy(start + random.integers(0, hours * 3600, 9))
        row_M, column_M = (torch.from_numpy(random.integers(0, bound, 30)) for bound in (9, clock.size))
        slow = torch.cat([facts_of_all(clock, at[None]) for at in moment_B])[row_M, column_M]
        assert torch.equal(clock.of_cells(row_M, column_M, moment_B).facts, slow)
    assert ("_by_time" in vars(clock)) == (most > 0)


def test_a_domain_that_has_sold_nothing_says_so() -> None:
    of_x = TRAIN.take(np.flatnonzero((TRAIN.target < NUM_X) & (TRAIN.lengths > 0)))
    alone = dataclasses.replace(of_x, history=of_x.history % NUM_X)
    made = clocks_of(alone, NUM_X, NUM_ITEMS)
    assert made is not None
    clock = made[1]
    assert len(clock.key) == 0
    nothing = [0.0, 0.0, 0.0, *[math.log1p(OLDEST_DAYS)] * 2]
    for facts in (
        facts_of_all(clock, torch.tensor([10 * DAY, 50 * DAY, NOW])),
        facts_of_all(clock, torch.tensor([NOW])),
        clock.of_cells(torch.arange(2), torch.tensor([0, 1]), torch.tensor([5 * DAY, NOW])).facts,
        clock.facts_without_own(torch.tensor([1]), torch.tensor([0]), torch.tensor([NOW])),
    ):
        torch.testing.assert_close(facts, torch.tensor(nothing).expand_as(facts))


def test_knowledge_has_an_age_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = clocks()[0]
    moments = torch.tensor([5 * DAY, clock.end, clock.end + 10 * DAY, clock.end + 9000 * DAY, NOW])
    sold = clock.of_all(moments)
    expected = [0, 0, math.log1p(10) / AGE_SCALE, math.log1p(OLDEST_DAYS) / AGE_SCALE, 0]
    assert sold.age[:, 0].tolist() == pytest.approx(expected)
    weight = torch.randn(2, len(FACTS))
    slow = [[sum(f * (w + a * v) for f, w, v in zip(cell, *weight.tolist(), strict=True)) for cell in row]
            for row, a in zip(facts_of_all(clock, moments).tolist(), expected, strict=True)]  # fmt: skip
    torch.testing.assert_close(sold.weighed(weight), torch.tensor(slow), rtol=1e-4, atol=1e-4)
    monkeypatch.setattr("graph.clock.CELLS_AT_ONCE", 20)
    assert torch.equal(clock.of_all(moments).facts, sold.facts)
    late = torch.full((3,), clock.end + DAY)
    assert clock.of_all(late).facts.shape == (1, clock.size, len(FACTS)), "one moment, told once"


def test_ones_own_purchases_are_left_out() -> None:
    clock, known = clocks()[1], purchases(TRAIN)
    users = sorted({user for user, item, _ in known if item >= NUM_X})[:12]
    cells = [(user, item, 45 * DAY) for user in users for other, item, _ in known if other == user and item >= NUM_X]
    columns = (torch.tensor(column) for column in zip(*cells, strict=True))
    user, item, moment = columns
    facts = clock.facts_without_own(user, item - NUM_X, moment)
    told = clock.of_cells(torch.arange(len(item)), item - NUM_X, moment).facts
    assert not torch.equal(facts, told)
    for row, (own, bought, at) in enumerate(cells):
        expected = slow_facts(purchases(TRAIN, without=own), bought, at, clock.end)
        assert facts[row].tolist() == pytest.approx(expected, abs=1e-5)
    nobody = clock.facts_without_own(torch.full_like(user, -5), item - NUM_X, moment)
    assert torch.allclose(nobody, told)


def test_nothing_at_or_after_the_moment_is_read() -> None:
    moment = 30 * DAY
    assert TRAIN.target_time is not None
    later = np.flatnonzero(TRAIN.target_time >= moment)
    rolled = TRAIN.target.copy()
    rolled[later] = np.where(rolled[later] < NUM_X, (rolled[later] + 3) % NUM_X, rolled[later])
    changed = clocks_of(dataclasses.replace(TRAIN, target=rolled), NUM_X, NUM_ITEMS)
    assert changed is not None
    at = torch.tensor([moment])
    assert torch.equal(facts_of_all(changed[0], at), facts_of_all(clocks()[0], at))
    assert not torch.equal(facts_of_all(changed[0], at + 15 * DAY), facts_of_all(clocks()[0], at + 15 * DAY))


def test_what_nobody_has_bought_yet_says_what_was_bought_long_ago() -> None:
    old = dataclasses.replace(
        TRAIN.take(np.array([0])), target=np.array([2]), target_time=np.array([0]), history=np.zeros(0, np.int64),
        offsets=np.zeros(2, np.int64), history_time=np.zeros(0, np.int64),
    )  # fmt: skip
    new = dataclasses.replace(old, target=np.array([3]), target_time=np.array([900 * DAY]))
    both = clocks_of(joined(old, new), NUM_X, NUM_ITEMS)
    assert both is not None
    facts = both[0].of_cells(torch.arange(3), torch.tensor([2, 3, 4]), torch.tensor([500 * DAY] * 3)).facts
    assert facts[0].tolist() == facts[1].tolist() == facts[2].tolist()


@pytest.fixture
def made(tmp_path: Path) -> tuple[Prepared, GraphConfig, GraphRanker]:
    write_run(tmp_path, times=True)
    config = tiny()
    prepared = prepare(tmp_path, config, ALONE)
    ranker = make_ranker(prepared, config, seed=1, device=ALONE.device).eval()
    with torch.no_grad():
        for weight in ranker.evidence.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return prepared, config, ranker


def batch_of_rows(train: Samples, rows: "np.typing.NDArray[np.int64]") -> Batch:
    return make_batch(train, rows, max_history=6, pad=NUM_ITEMS, device=ALONE.device)


def test_a_train_user_is_scored_as_if_she_had_bought_nothing(made: tuple[Prepared, GraphConfig, GraphRanker]) -> None:
    prepared, _, ranker = made
    train = prepared.train
    assert train.target_time is not None
    last = int(train.user[np.argmax(train.target_time)])
    for user in (1, 5, 12, 20):
        assert user != last, "whose last purchase is the end of all that is known"
        own, others = (np.flatnonzero((train.user == user) == is_own) for is_own in (True, False))
        untold = prepared.source.graphs_of(train.take(others))
        for row in own:
            batch, domain = batch_of_rows(train, np.array([row])), int(train.domain[row])
            given = evidence_scores(ranker.evidence, prepared.graphs, leave_own=True)(batch, domain)
            expected = evidence_scores(ranker.evidence, untold)(batch, domain)
            torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)


def test_it_is_switched_off_and_absent_without_times(
    made: tuple[Prepared, GraphConfig, GraphRanker], tmp_path: Path
) -> None:
    prepared, config, ranker = made
    batch = batch_of_rows(prepared.train, np.arange(12))
    off = dataclasses.replace(config, model=dataclasses.replace(config.model, evidence_time=False))
    silent = prepare(tmp_path, off, ALONE).graphs
    write_run(tmp_path / "untimed")
    timeless = prepare(tmp_path / "untimed", config, ALONE).graphs
    for graphs in (silent, timeless):
        assert graphs.evidence is not None
        assert graphs.evidence[0].clock is graphs.evidence[1].clock is None
    told = evidence_scores(ranker.evidence, prepared.graphs)(batch, 0)
    untold = evidence_scores(ranker.evidence, silent)(batch, 0)
    assert not torch.allclose(told, untold)
    assert prepared.graphs.evidence is not None
    clock = prepared.graphs.evidence[0].clock
    assert clock is not None
    evidence = ranker.evidence[0]
    assert isinstance(evidence, Evidence)
    torch.testing.assert_close(told - untold, clock.of_all(batch.moment).weighed(evidence.clock))


def test_train_asks_with_knowledge_of_some_age() -> None:
    assert TRAIN.target_time is not None
    earlier = asked_earlier(TRAIN, 10 * DAY, seed=3)
    assert earlier.target_time is not None
    age = TRAIN.target_time - earlier.target_time
    assert 0 <= age.min() < DAY
    assert 9 * DAY < age.max() <= 10 * DAY
    again = asked_earlier(TRAIN, 10 * DAY, seed=3)
    assert np.array_equal(earlier.target_time, again.target_time if again.target_time is not None else [])
    assert earlier.target.tolist() == TRAIN.target.tolist()
    assert asked_earlier(TRAIN, 0, seed=3) is TRAIN
    untimed = make_splits()["train"]
    assert asked_earlier(untimed, DAY, seed=3) is untimed
