"""What may be known at a moment: of samples, and of users of one domain, who teach beside them and are never asked."""

import dataclasses
from pathlib import Path

import numpy as np

from pairs.ragged import offsets_of, segments
from pairs.tables import GRAPH_ONLY, Samples, joined, load_samples

BEFORE_ALL = np.iinfo(np.int64).min
"""A moment at which nothing is known."""


def as_of(samples: Samples, time: int) -> Samples:
    """What was bought up to a moment: samples whose target came later end with the last purchase before it."""
    assert samples.history_time is not None
    assert samples.target_time is not None
    if samples.target_time.max(initial=BEFORE_ALL) <= time:
        return samples
    past_N = samples.target_time <= time
    kept = samples.history_time <= time
    lengths_N = np.bincount(samples.item_rows[kept], minlength=len(samples))
    rows = np.flatnonzero(past_N | (lengths_N > 0))
    last_N = samples.offsets[:-1] + lengths_N - 1  # histories are in order of time
    target_N = np.where(past_N, samples.target, samples.history[np.maximum(last_N, 0)])
    target_time_N = np.where(past_N, samples.target_time, samples.history_time[np.maximum(last_N, 0)])
    lengths_N = np.where(past_N, samples.lengths, lengths_N - 1)[rows]
    flat = segments(samples.offsets[:-1][rows], lengths_N)
    return Samples(
        sample=samples.sample[rows],
        user=samples.user[rows],
        domain=samples.domain[rows],
        target=target_N[rows],
        history=samples.history[flat],
        offsets=offsets_of(lengths_N),
        history_time=samples.history_time[flat],
        target_time=target_time_N[rows],
    )


def load_graph_samples(run_dir: Path) -> Samples:
    """The train samples and, if the pair has them, what is known then of users of one domain."""
    return with_others(load_samples(run_dir, "train"), load_others(run_dir))


def load_others(run_dir: Path) -> Samples | None:
    """Users of one domain, all that they bought, train's time or later; None if the pair keeps none."""
    if not (run_dir / "pair" / f"{GRAPH_ONLY}.arrow").is_file():
        return None
    others = load_samples(run_dir, GRAPH_ONLY)
    return others if len(others) else None


def load_kindred(run_dir: Path) -> Samples:
    """Who may be kindred to somebody: the train samples and, behind them, users of one domain as far as train goes.

    These are never asked, so that all they have bought by then is their history, the last of it their target as well.
    Without such users the samples lie in their file, as `load_samples` has them.
    """
    train = load_samples(run_dir, "train")
    beside = known_others(load_others(run_dir), until=_end_of(train))
    return train if beside is None else joined(train, with_target_in_history(beside))


def with_target_in_history(samples: Samples) -> Samples:
    """The same rows; each history has the target as its last item, too."""
    ends, times, last = samples.offsets[1:], samples.history_time, samples.target_time
    return dataclasses.replace(
        samples,
        history=np.insert(samples.history, ends, samples.target),
        offsets=samples.offsets + np.arange(len(samples.offsets)),
        history_time=None if times is None or last is None else np.insert(times, ends, last),
    )


def with_others(samples: Samples, others: Samples | None, *, until: int | None = None) -> Samples:
    """The samples and, behind them, users of one domain as far as they bought by a moment.

    Args:
        until: the moment, where there are times; None: the last of the samples' targets. So all ends at once, whatever
            the samples are: those that teach, or all that is known before test.
    """
    past = known_others(others, until=_end_of(samples) if until is None else until)
    return samples if past is None else joined(samples, past)


def known_others(others: Samples | None, *, until: int) -> Samples | None:
    """The same users up to a moment, where they have times: those with two purchases by then, for one purchase goes
    together with nothing. None where there are none."""
    if others is None or others.target_time is None:
        return others
    past = as_of(others, until)
    if not past.lengths.all():
        past = past.take(np.flatnonzero(past.lengths))
    return past if len(past) else None


def _end_of(samples: Samples) -> int:
    """The last of the targets' times; before all where there is none."""
    return BEFORE_ALL if samples.target_time is None else int(samples.target_time.max(initial=BEFORE_ALL))
