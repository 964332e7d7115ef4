"""What test is ranked with never holds a test target."""

import dataclasses

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.blocks import follows_in_time
from evaluation.list_ranker.knowledge import known_to_test, read_timeline
from evaluation.sales import DAY
from pairs.tables import Samples
from tests.unit.evaluation.test_sales import events_of, timed_samples


def parts_in_time() -> tuple[Samples, Samples, Samples]:
    samples = timed_samples(num_users=200)
    assert samples.target_time is not None
    part_N = np.searchsorted([30 * DAY, 45 * DAY], samples.target_time, side="left")
    train, valid, test = (samples.take(np.flatnonzero(part_N == part)) for part in range(3))
    return train, valid, test


def targets_of(samples: Samples) -> set[tuple[int, int, int]]:
    assert samples.target_time is not None
    return set(zip(samples.user.tolist(), samples.target.tolist(), samples.target_time.tolist(), strict=True))


def test_refit_in_time_knows_all_purchases_up_to_the_cut_and_none_after() -> None:
    train, valid, test = parts_in_time()
    timeline = read_timeline(train, valid, test, EvaluationConfig())
    assert (timeline.chronological, timeline.knowledge) == (True, "refit")
    cut = max(time for _, _, time in targets_of(valid))
    everything = events_of(train) | events_of(valid) | events_of(test)
    assert events_of(known_to_test(train, valid, test, timeline)) == {event for event in everything if event[2] <= cut}


@pytest.mark.parametrize("timed", [True, False])
def test_refit_asked_for_where_the_split_is_of_users_knows_no_test_target(timed: bool) -> None:
    train, valid, test = (
        dataclasses.replace(timed_samples(seed), user=timed_samples(seed).user + 100 * seed) for seed in range(3)
    )
    timeline = read_timeline(train, valid, test, EvaluationConfig(knowledge="refit"))
    assert (timeline.chronological, timeline.knowledge) == (False, "refit")
    if not timed:
        train, valid, test = (
            dataclasses.replace(part, history_time=None, target_time=None) for part in (train, valid, test)
        )
    known = known_to_test(train, valid, test, timeline)
    assert set(known.user.tolist()) == {*train.user.tolist(), *valid.user.tolist()}
    assert len(known) == len(train) + len(valid)


def test_splits_that_touch_in_one_second_are_not_of_time() -> None:
    train, valid, _ = parts_in_time()
    assert train.target_time is not None
    assert valid.target_time is not None
    touching = dataclasses.replace(valid, target_time=np.zeros_like(valid.target_time) + train.target_time.max())
    assert follows_in_time(valid, train)
    assert not follows_in_time(touching, train)
