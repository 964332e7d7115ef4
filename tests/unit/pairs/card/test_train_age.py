"""Age of the train data: days from its newest target to each held-out one, however the samples come in batches."""

import dataclasses

import numpy as np

from pairs.card.train_age import DAY, TrainAge
from pairs.tables import Samples


def samples_of(days: list[float], *, timed: bool = True) -> Samples:
    times = (np.array(days, dtype=np.float64) * DAY).astype(np.int64)
    rows = np.arange(len(days))
    return Samples(
        sample=rows,
        user=rows,
        domain=np.zeros_like(rows),
        target=rows,
        history=rows,
        offsets=np.arange(len(days) + 1),
        history_time=times if timed else None,
        target_time=times if timed else None,
    )


def test_age_is_counted_from_the_newest_train_target() -> None:
    ages = TrainAge()
    ages.add("test", samples_of([110.0, 104.0]))
    ages.add("train", samples_of([50.0, 100.0]))
    ages.add("valid", samples_of([99.5]))
    ages.add("train", samples_of([3.0]))
    ages.add("test", samples_of([102.0, 106.0, 108.0]))
    assert ages.describe() == {
        "valid": {"p10": -0.5, "median": -0.5, "p90": -0.5},
        "test": {"p10": 2.8, "median": 6.0, "p90": 9.2},
    }


def test_without_times_the_age_is_null() -> None:
    ages = TrainAge()
    ages.add("train", samples_of([1.0]))
    ages.add("test", dataclasses.replace(samples_of([5.0]), target_time=None))
    assert ages.describe() == {"valid": None, "test": None}
