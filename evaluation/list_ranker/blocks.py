"""What the list ranker learns from: train samples whose users, or whose times, the sources do not know.

On a chronological pair a block is a span of time: the sources know what came before it, as they know what came before
valid; or what came some time before it, for a list ranker that will be asked with knowledge of that age. Elsewhere a
block is a part of the users: the sources know all others.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from pairs.known import as_of
from pairs.tables import Ints, Samples

MOST_SAMPLES = 6_000
"""To learn from, in all blocks; the graph stage leaves lists of so many."""
MOST_FOLDS, LEFT_OUT = 4, 0.05
"""So many folds that the sources miss at most this share of the users, but no more than that."""
TIME_SHARE = 0.1
"""Of the train samples in one block of time."""
TIME_BLOCKS = 2
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class FitBlock:
    """Some train samples to learn from, and what the sources may know meanwhile."""

    asked: Samples
    tell: Callable[[], Samples]
    others: Samples | None = None
    """Users of one domain; of their purchases those are known that came before the last of `known` (`with_others`)."""

    @property
    def known(self) -> Samples:
        """Made each time that it is asked for: it is nearly all of train, and blocks are looked at one by one."""
        return self.tell()


def follows_in_time(later: Samples, earlier: Samples) -> bool:
    """Whether every target of `later` was bought strictly after those of `earlier`: the split is one of time."""
    if later.target_time is None or earlier.target_time is None:
        return False
    return bool(later.target_time.min() > earlier.target_time.max())


def is_chronological(train: Samples, valid: Samples, test: Samples) -> bool:
    """Whether the pair's splits are spans of time, one after the other."""
    return follows_in_time(valid, train) and follows_in_time(test, valid)


def make_blocks(
    train: Samples,
    *,
    most: int = MOST_SAMPLES,
    seed: int,
    chronological: bool,
    others: Samples | None = None,
    age: int = 0,
) -> list[FitBlock]:
    """Blocks with at most `most` samples to learn from in all; `others` are users of one domain.

    Args:
        age: seconds between what is known and the span of time that is asked about; of chronological pairs alone.
    """
    if chronological:
        return _time_blocks(train, others, most, seed, age)
    assert age == 0, age
    return _user_blocks(train, others, most, seed)


def _user_blocks(train: Samples, others: Samples | None, most: int, seed: int) -> list[FitBlock]:
    users, user_row_N = np.unique(train.user, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(users))
    per_user = len(train) / max(1, len(users))
    chosen = shuffled[: max(1, min(len(users) // 2, int(most / per_user)))]
    blocks = []
    folds = min(MOST_FOLDS, max(1, math.ceil(len(chosen) / (LEFT_OUT * len(users)))))
    for fold in np.array_split(chosen, folds):
        asked_N = np.isin(user_row_N, fold)
        if asked_N.any():
            asked = train.take(np.flatnonzero(asked_N))
            blocks.append(FitBlock(asked, partial(train.take, np.flatnonzero(~asked_N)), others))
    return blocks


def _time_blocks(train: Samples, others: Samples | None, most: int, seed: int, age: int) -> list[FitBlock]:
    assert train.history_time is not None
    assert train.target_time is not None
    blocks = []
    first = min(train.history_time.min(initial=NEVER), train.target_time.min(initial=NEVER))
    until = int(train.target_time.max())
    for number in range(TIME_BLOCKS):
        cut = int(np.quantile(train.target_time, 1 - TIME_SHARE * (number + 1), method="lower"))
        inside = np.flatnonzero((train.target_time > cut) & (train.target_time <= until))
        rows = _first_of_users(train, inside)
        if len(rows) and first <= cut - age:
            drawn = np.random.default_rng(seed).permutation(len(rows))[: most // TIME_BLOCKS]  # fewer are some of more
            asked = train.take(rows[np.sort(drawn)])
            blocks.append(FitBlock(asked, partial(as_of, train, cut - age), others))
        until = cut
    return blocks


def latest_part(samples: Samples, share: float) -> Samples:
    """The samples with the latest targets."""
    assert samples.target_time is not None
    bar = np.quantile(samples.target_time, 1 - share, method="higher")
    return samples.take(np.flatnonzero(samples.target_time >= bar))


def _first_of_users(samples: Samples, rows: Ints) -> Ints:
    """Of some rows, each user's earliest in time, in order of rows."""
    assert samples.target_time is not None
    order = np.lexsort((rows, samples.target_time[rows], samples.user[rows]))
    user = samples.user[rows][order]
    first = np.ones(len(user), dtype=bool)
    first[1:] = user[1:] != user[:-1]
    return np.sort(rows[order[first]])
