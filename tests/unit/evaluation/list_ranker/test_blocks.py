"""What the list ranker learns from is unknown to the sources: by user, or by time."""

import dataclasses

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.blocks import MOST_SAMPLES, follows_in_time, latest_part, make_blocks
from evaluation.matrices import DAY
from pairs.known import with_others
from tests.unit.evaluation.test_sales import events_of, timed_samples


def test_user_blocks_leave_their_users_out_of_what_is_known() -> None:
    train = timed_samples()
    blocks = make_blocks(train, most=10, seed=1, chronological=False)
    assert 8 <= sum(len(block.asked) for block in blocks) <= 10
    for block in blocks:
        assert not set(block.asked.user) & set(block.known.user)
        assert len(block.asked) + len(block.known) == len(train)


def test_time_blocks_know_only_what_came_before_and_ask_each_user_once() -> None:
    train = timed_samples(num_users=200)
    blocks = make_blocks(train, most=1000, seed=1, chronological=True)
    assert len(blocks) == 2
    for block in blocks:
        assert block.asked.target_time is not None
        known = max(time for _, _, time in events_of(block.known))
        assert known < block.asked.target_time.min()
        assert len(set(block.asked.user)) == len(block.asked)
    first, second = (block.asked.target_time for block in blocks)
    assert first is not None
    assert second is not None
    assert second.max() < first.min()


def test_a_split_of_time_is_told_from_one_of_users() -> None:
    samples = timed_samples(num_users=200)
    late = latest_part(samples, 0.25)
    assert len(late) == pytest.approx(50, abs=1)
    early = samples.take(np.flatnonzero(~np.isin(samples.sample, late.sample)))
    assert follows_in_time(late, early)
    assert not follows_in_time(timed_samples(1), samples)


def test_users_of_one_domain_are_known_in_every_block_but_none_of_their_future() -> None:
    train = timed_samples(num_users=200)
    others = timed_samples(seed=1, num_users=50)
    others = dataclasses.replace(others, user=others.user + 1000, sample=others.sample + 1000)
    for block in make_blocks(train, most=1000, seed=1, chronological=True, others=others):
        assert block.asked.target_time is not None
        cut = int(block.asked.target_time.min())
        told = events_of(with_others(block.known, block.others)) - events_of(block.known)
        assert told
        assert told <= {event for event in events_of(others) if event[2] < cut}
    for block in make_blocks(train, most=10, seed=1, chronological=False, others=others):
        assert block.others is others
        assert not set(block.asked.user.tolist()) & set(others.user.tolist())


@pytest.mark.parametrize("chronological", [False, True])
def test_the_graph_leaves_lists_of_as_many_samples_as_the_list_ranker_asks_for(chronological: bool) -> None:
    assert EvaluationConfig().ranker_samples == MOST_SAMPLES
    train = timed_samples(num_users=2000)
    asked = {}
    for most in (40, 100):
        blocks = make_blocks(train, most=most, seed=1, chronological=chronological)
        asked[most] = {sample for block in blocks for sample in block.asked.sample.tolist()}
    assert asked[40] < asked[100], "whoever asks for fewer finds the graph's lists of all of them"


@pytest.mark.parametrize("days", [0, 1, 9])
def test_blocks_of_an_age_ask_the_same_and_know_so_much_less(days: int) -> None:
    train = timed_samples(num_users=200)
    others = timed_samples(seed=1, num_users=50)
    others = dataclasses.replace(others, user=others.user + 1000, sample=others.sample + 1000)
    fresh = make_blocks(train, most=1000, seed=1, chronological=True, others=others)
    aged = make_blocks(train, most=1000, seed=1, chronological=True, others=others, age=days * DAY)
    assert train.target_time is not None
    times = np.unique(train.target_time)
    for one, other in zip(fresh, aged, strict=True):
        assert other.asked.sample.tolist() == one.asked.sample.tolist()
        assert one.asked.target_time is not None
        cut = int(times[times < one.asked.target_time.min()].max())
        assert events_of(other.known) == {event for event in events_of(train) if event[2] <= cut - days * DAY}
        told = events_of(with_others(other.known, other.others)) - events_of(other.known)
        assert told
        assert told <= {event for event in events_of(others) if event[2] <= cut - days * DAY}


def test_parts_of_the_users_have_no_age() -> None:
    with pytest.raises(AssertionError):
        make_blocks(timed_samples(), most=10, seed=1, chronological=False, age=DAY)
