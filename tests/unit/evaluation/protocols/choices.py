"""Small pairs that are split by time, and what is chosen for them."""

import dataclasses

import numpy as np

from evaluation.chosen import Chosen, Clock, choose
from evaluation.list_ranker.knowledge import Timeline
from evaluation.matrices import DAY
from pairs.tables import Samples
from tests.evaluation_runs import sources_of
from tests.unit.evaluation.protocols.test_protocols import CONFIG, inputs_of


def split_at(samples: Samples, days: tuple[int, int]) -> tuple[Samples, Samples, Samples]:
    """Train, valid and test by their targets' times."""
    assert samples.target_time is not None
    part_N = np.searchsorted([day * DAY for day in days], samples.target_time, side="left")
    train, valid, test = (samples.take(np.flatnonzero(part_N == part)) for part in range(3))
    return train, valid, test


def chosen_under(protocol: Timeline, train: Samples, valid: Samples, test: Samples) -> Chosen:
    """By a report of that protocol, without lists of other stages."""
    inputs = inputs_of(train, valid, test)
    inputs = dataclasses.replace(inputs, config=dataclasses.replace(CONFIG, ranker_depth=15))
    return choose(inputs, protocol, sources_of(valid), Clock())
