"""Users of one domain on their way to `graph_only.arrow`: each is one row, and is never asked.

A row has the form of a sample: a history and, as its target, the last interaction. How much of it is known at a moment,
who reads it says (pairs/known.py).
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from pairs.samples.cut import gather, history_windows
from pairs.samples.spool import SampleSpool
from pairs.tables import GRAPH_ONLY, Samples, Split

ONE_DOMAIN = "one_domain"
"""The name of their file beside samples that are taken as they are."""
NOT_READ = "%s: users of one domain are not read, for pair.graph_users=none"
ADVICE = "add the users of one domain, or set pair.graph_users=none"
PIECE = 500_000
"""Events that are worked on at the same time, about."""
log = logging.getLogger(__name__)


def last_as_target(events: pl.DataFrame) -> Samples:
    """A row for each user out of events (user, item, domain, time) that are sorted by user and time."""
    user = events["user"].to_numpy()
    last = np.flatnonzero(np.append(user[1:] != user[:-1], True)[: len(user)])
    begins = history_windows(events)[0][last]
    return gather(events, last, begins=begins, ends=last, first=0)


class OneDomainUsers:
    """Takes users of one domain as their table has them; `spool` holds a row of each who has enough to tell.

    Args:
        spools: the samples of those who are asked, all of them; rows have times where these have.
        first_user: the number of the first.
    """

    def __init__(self, spools: Mapping[Split, SampleSpool], *, folder: Path, first_user: int) -> None:
        self.spool = SampleSpool(folder, GRAPH_ONLY)
        self.timed = all(spool.timed for spool in spools.values())
        self._first_user = first_user
        self._num_users = self._num_rows = 0

    def add(self, events: pl.DataFrame) -> None:
        """Whole users: their events (user, item, domain, time), a user's side by side and oldest first."""
        for some in _whole_users(events):
            self._add(some)

    def _add(self, events: pl.DataFrame) -> None:
        rows = last_as_target(events.filter(pl.len().over("user") > 1))  # one purchase goes together with nothing
        first = self._first_user + self._num_rows
        rows = dataclasses.replace(rows, user=np.arange(first, first + len(rows), dtype=np.int64))
        if not self.timed:
            rows = dataclasses.replace(rows, history_time=None, target_time=None)
        self.spool.append(rows)
        self._num_users += events["user"].n_unique()
        self._num_rows += len(rows)

    def facts(self) -> dict[str, int]:
        """How many were left out, for the data card."""
        left_out = self._num_users - self._num_rows
        say = log.info if self._num_rows else log.warning
        say(
            "%d users of one domain teach; %d are left out, with fewer than two interactions",
            self._num_rows, left_out,
        )  # fmt: skip
        return {"graph_only_left_out": left_out}


def _whole_users(events: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The events in pieces that end where a user ends."""
    user = events["user"].to_numpy()
    ends = np.append(np.flatnonzero(user[1:] != user[:-1]) + 1, len(user))
    borders = ends[np.searchsorted(ends, np.arange(PIECE, len(user), PIECE))]
    for begin, end in pairwise(np.unique([0, *borders, len(user)]).tolist()):
        yield events[begin:end]
