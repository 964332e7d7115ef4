"""What is known at a moment: nothing later, of nobody, users of one domain among them."""

import dataclasses

import numpy as np
import pytest

from evaluation.matrices import DAY
from pairs.known import as_of, with_others
from pairs.tables import Samples, joined
from tests.unit.evaluation.test_sales import events_of, timed_samples

OTHERS = dataclasses.replace(
    timed_samples(seed=1, num_users=50), user=np.arange(1000, 1050), sample=np.arange(1000, 1050)
)


def enough(user: int, moment: int) -> bool:
    """Whether a user of one domain has two purchases by then: one goes together with nothing."""
    row = int(np.flatnonzero(OTHERS.user == user)[0])
    assert OTHERS.history_time is not None
    assert OTHERS.target_time is not None
    times = [*OTHERS.history_time[OTHERS.offsets[row] : OTHERS.offsets[row + 1]], OTHERS.target_time[row]]
    return len([time for time in times if time <= moment]) > 1


def untimed(samples: Samples) -> Samples:
    return dataclasses.replace(samples, history_time=None, target_time=None)


@pytest.mark.parametrize("days", [1, 20, 45, 60])
def test_as_of_keeps_what_was_bought_until_then(days: int) -> None:
    samples = timed_samples()
    kept = as_of(samples, days * DAY)
    assert events_of(kept) == {event for event in events_of(samples) if event[2] <= days * DAY}


def test_joined_holds_both() -> None:
    first, second = timed_samples(0), timed_samples(1)
    assert events_of(joined(first, second)) == events_of(first) | events_of(second)


@pytest.mark.parametrize("days", [5, 20, 45])
def test_users_of_one_domain_are_known_until_the_samples_end(days: int) -> None:
    samples = as_of(timed_samples(num_users=200), days * DAY)
    assert samples.target_time is not None
    end = int(samples.target_time.max())
    expected = events_of(samples) | {event for event in events_of(OTHERS) if event[2] <= end and enough(event[0], end)}
    assert events_of(with_others(samples, OTHERS)) == expected
    assert expected > events_of(samples)


def test_or_until_a_moment_that_is_named() -> None:
    samples = timed_samples(num_users=200)
    early = {event for event in events_of(OTHERS) if event[2] <= 9 * DAY and enough(event[0], 9 * DAY)}
    assert set() < early < {event for event in events_of(OTHERS) if event[2] <= 9 * DAY}
    assert events_of(with_others(samples, OTHERS, until=9 * DAY)) == events_of(samples) | early


def test_who_knows_nothing_knows_nothing_of_them() -> None:
    nothing = timed_samples().take(np.zeros(0, dtype=np.int64))
    assert len(with_others(nothing, OTHERS)) == 0
    assert {event[2] <= 9 * DAY for event in events_of(with_others(nothing, OTHERS, until=9 * DAY))} == {True}


def test_without_times_all_is_known() -> None:
    samples, others = untimed(timed_samples()), untimed(OTHERS)
    both = with_others(samples, others)
    assert len(both) == len(samples) + len(others)
    assert both.history.tolist() == [*samples.history.tolist(), *others.history.tolist()]
    assert with_others(samples, None) is samples
