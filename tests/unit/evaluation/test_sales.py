"""Sales as of a moment equal the same counted slowly, and nothing at or after the moment is read."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation import matrices
from evaluation.matrices import DAY, latest_times, parts_of_users, transition_matrix, user_item_matrix
from evaluation.sales import NEVER_DAYS, Sales, moments, purchases_of
from pairs.tables import Samples, joined
from tests.evaluation_runs import make_samples

NUM_ITEMS = 6


def timed_samples(seed: int = 0, *, num_users: int = 30) -> Samples:
    """Users who buy an item every few days."""
    random = np.random.default_rng(seed)
    rows, times, target_times = [], [], []
    for user in range(num_users):
        length = int(random.integers(1, 6))
        bought = random.integers(0, NUM_ITEMS, length + 1).tolist()
        when = np.sort(random.integers(0, 60 * DAY, length + 1)).tolist()
        rows.append((user, 0, bought[:-1], bought[-1]))
        times += when[:-1]
        target_times.append(when[-1])
    samples = make_samples(rows)
    return dataclasses.replace(samples, history_time=np.array(times), target_time=np.array(target_times))


def events_of(samples: Samples) -> set[tuple[int, int, int]]:
    """(user, item, time)."""
    assert samples.history_time is not None
    assert samples.target_time is not None
    events = set()
    for row in range(len(samples)):
        user, span = int(samples.user[row]), slice(samples.offsets[row], samples.offsets[row + 1])
        held = zip(samples.history[span].tolist(), samples.history_time[span].tolist(), strict=True)
        events |= {(user, item, time) for item, time in held}
        events.add((user, int(samples.target[row]), int(samples.target_time[row])))
    return events


def sales_of(samples: Samples) -> Sales:
    sales = Sales.of_samples(samples, NUM_ITEMS)
    assert sales is not None
    return sales


def test_counts_and_ages_equal_the_slow_ones() -> None:
    samples = timed_samples()
    sales, events = sales_of(samples), events_of(samples)
    for at in (0, 20 * DAY, 41 * DAY + 7, sales.end):
        items = np.arange(NUM_ITEMS)
        at_P = np.full(NUM_ITEMS, at)
        before = [sorted(time for _, item, time in events if item == one and time < at) for one in items]
        assert sales.before(items, at_P).tolist() == [len(times) for times in before]
        last = [(at - times[-1]) / DAY if times else NEVER_DAYS for times in before]
        first = [(at - times[0]) / DAY if times else NEVER_DAYS for times in before]
        counts, since_last, since_first = sales.facts(items, at_P)
        assert counts.tolist() == [len(times) for times in before]
        assert since_last == pytest.approx(last)
        assert since_first == pytest.approx(first)
        fading = [sum(0.5 ** ((at - time) / (7 * DAY)) for time in times) for times in before]
        assert sales.fading_counts(at_P[:1], range(NUM_ITEMS), 7.0)[0] == pytest.approx(fading, rel=1e-5)


def test_moments_in_any_order_say_the_same() -> None:
    sales = sales_of(timed_samples())
    at_B = np.array([30 * DAY, 3 * DAY, 30 * DAY, 50 * DAY])
    alone = [sales.fading_counts(at_B[[row]], range(2, 5), 3.0)[0] for row in range(4)]
    assert sales.fading_counts(at_B, range(2, 5), 3.0) == pytest.approx(np.stack(alone), rel=1e-5)


def test_half_lives_in_turn_say_what_each_says_alone_and_few_are_kept() -> None:
    sales, at_B = sales_of(timed_samples()), np.array([30 * DAY])
    for half_life in (3.0, 7.0, 3.0, 30.0, 90.0, 3.0, 7.0):
        alone = sales_of(timed_samples()).fading_counts(at_B, range(2, 5), half_life)
        assert np.array_equal(sales.fading_counts(at_B, range(2, 5), half_life), alone)
        assert len(sales._faded_by) <= 2


def test_what_comes_later_changes_nothing() -> None:
    samples = timed_samples()
    at = 25 * DAY
    assert samples.history_time is not None
    assert samples.target_time is not None
    shuffled = np.random.default_rng(1).permutation(NUM_ITEMS)
    later = dataclasses.replace(
        samples,
        history=np.where(samples.history_time >= at, shuffled[samples.history], samples.history),
        target=np.where(samples.target_time >= at, shuffled[samples.target], samples.target),
    )
    items, at_P = np.arange(NUM_ITEMS), np.full(NUM_ITEMS, at)
    assert sales_of(samples).before(items, at_P).tolist() == sales_of(later).before(items, at_P).tolist()
    told = (sales_of(one).facts(items, at_P) for one in (samples, later))
    assert all(np.array_equal(now, then) for now, then in zip(*told, strict=True))


def test_a_question_is_asked_as_of_its_target_or_of_the_end_of_what_is_known() -> None:
    samples = timed_samples()
    early = dataclasses.replace(sales_of(samples), end=30 * DAY)
    assert samples.target_time is not None
    assert moments(samples, early).tolist() == [min(time, 30 * DAY) for time in samples.target_time.tolist()]


def test_samples_without_times_have_no_sales() -> None:
    assert Sales.of_samples(make_samples([(0, 0, [1], 2)]), NUM_ITEMS) is None


@pytest.mark.parametrize("part", [1, 7, 50])
def test_what_is_counted_by_parts_of_users_is_what_is_counted_at_once(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = joined(timed_samples(1), timed_samples(2, num_users=40))  # of the first 30 users two samples, apart
    domains = np.arange(NUM_ITEMS) % 2

    def counted() -> list[list[float]]:
        bought = user_item_matrix(samples, NUM_ITEMS)
        steps = [transition_matrix(samples, domains, within_domain=within).toarray() for within in (False, True)]
        purchases = purchases_of(samples)
        assert purchases is not None
        told: list[NDArray[Any]] = [bought.toarray(), latest_times(samples, bought), *steps, *purchases]
        return [values.ravel().tolist() for values in told]

    at_once = counted()
    monkeypatch.setattr(matrices, "PART", part)
    parts = [part.user for part in parts_of_users(samples)]
    assert len(parts) > 1
    assert all(before.max() < after.min() for before, after in itertools.pairwise(parts))
    assert sorted(np.concatenate(parts).tolist()) == sorted(samples.user.tolist())
    assert counted() == at_once


def test_no_samples_are_one_part() -> None:
    nobody = timed_samples().take(np.zeros(0, dtype=np.int64))
    assert [len(part) for part in parts_of_users(nobody)] == [0]
    assert user_item_matrix(nobody, NUM_ITEMS).shape == (0, NUM_ITEMS)
