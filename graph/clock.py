"""What sold of a candidate before a moment, as evidence asks it: counts of the last days, ages of sales.

Nothing at or after the moment is read, and where a train user asks, her own purchases are left out. An item that nobody
has bought by then says what one says that was last bought long ago, and no more: that it is in the catalogue at all
tells that somebody will buy it.

Shapes: B samples, D items of a domain, M cells of a sample and an item, E purchases, F facts.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from evaluation.matrices import DAY
from evaluation.sales import purchases_of
from graph.companions.mapped import expand
from pairs.tables import Samples

WINDOWS_DAYS = (7, 30, 90)
OLDEST_DAYS = 365.0
"""Ages above are taken for this one."""
FACTS = (*(f"sales of {days} days" for days in WINDOWS_DAYS), "days since the last", "days since the first")
"""Each as log(1 + x)."""
AGE_SCALE = 5.0
NOW = 1 << 60
"""The moment when all that is known has just happened."""
CELLS_AT_ONCE = 1 << 20
MANY_BETWEEN = 0.25
"""Purchases an item between the first and the last of some moments: of more, each moment is looked for by itself."""
SWEPT_A_CELL = 8
"""Purchases of a cell: of more, where to look for a moment's is found sooner than those before it are counted."""


@dataclass(frozen=True)
class OwnCells:
    """Cells whose asking user has bought the item, with what others bought of it."""

    row: Tensor  # [C]
    column: Tensor  # [C]
    facts: Tensor  # [C, F]


@dataclass(frozen=True)
class Sold:
    """What sold, and how old that knowledge is: of cells [M], or of all items for each of a batch [B, D]."""

    facts: Tensor  # [M, F], or [A, D, F] as of A moments
    age: Tensor  # [M] or [B, 1], log(1 + days from the end of what is known to the moment) / AGE_SCALE
    moment: Tensor | None = None  # [B], which of the A moments is a sample's
    own: OwnCells | None = None

    def weighed(self, weight_2F: Tensor) -> Tensor:
        """[M] or [B, D] the facts by their weights, and by those that grow with the age."""
        fresh, aged = self.facts @ weight_2F[0], self.facts @ weight_2F[1]
        if self.moment is not None:
            fresh, aged = fresh[self.moment], aged[self.moment]
        said = fresh + self.age * aged
        if self.own is None:
            return said
        own_C = self.own.facts @ weight_2F[0] + self.age[self.own.row, 0] * (self.own.facts @ weight_2F[1])
        return said.index_put((self.own.row, self.own.column), own_C)


@dataclass(frozen=True)
class SalesClock:
    """Purchases of one domain's items, each (item, user, time) once, in order of item and time."""

    size: int
    """D."""
    start: int
    end: int
    """Seconds: of the first purchase, and just after the last of any item; later moments are taken for this one."""
    begin: Tensor  # [D + 1]
    key: Tensor  # [E], item * span + time - start, ascending
    user: Tensor  # [E]

    @property
    def span(self) -> int:
        """Larger than all times from the start."""
        return self.end - self.start + 1

    def of_all(self, moment_B: Tensor, own: OwnCells | None = None) -> Sold:
        """Of all items [B, D], as of each sample's moment."""
        at_A, row_B = torch.unique(self._at(moment_B), return_inverse=True)
        return Sold(self._table(at_A), self._age(moment_B)[:, None], row_B, own)

    def of_cells(self, row_M: Tensor, column_M: Tensor, moment_B: Tensor) -> Sold:
        """Of some cells, items as of their samples' moments."""
        at_A, place_B = torch.unique(self._at(moment_B), return_inverse=True)
        if len(at_A) * self.size <= max(self.size, len(column_M)):
            facts_MF = self._table(at_A)[place_B[row_M], column_M]
        else:
            at_M, first, last = at_A[place_B][row_M], at_A[0], at_A[-1]
            look = self._place if self._are_far(first, last) else partial(self._place_near, first, last)
            places = {days: look(column_M, at_M, days * DAY) for days in (0, *WINDOWS_DAYS)}
            facts_MF = self._facts_at(places, at_M, column_M)
        return Sold(facts_MF, self._age(moment_B)[row_M])

    def _are_far(self, first: Tensor, last: Tensor) -> bool:
        """Whether much sells between two moments."""
        return len(self.key) * int(last - first) > MANY_BETWEEN * self.size * self.span

    def _place_near(self, first: Tensor, last: Tensor, column_M: Tensor, at_M: Tensor, before: int) -> Tensor:
        """`_place` as of moments that are not far apart, from `first` to `last`: of most items it is that of the
        first."""
        time_E, column_E = self._by_time
        ends = torch.stack([first, last]) - before
        low, high = torch.searchsorted(time_E, ends).tolist()
        sold_D = torch.zeros(self.size, dtype=torch.bool, device=column_M.device)
        sold_D[column_E[low:high].long()] = True
        place_M = self._place(torch.arange(self.size, device=column_M.device), first, before)[column_M]
        apart_K = torch.nonzero(sold_D[column_M])[:, 0]
        return place_M.index_copy(0, apart_K, self._place(column_M[apart_K], at_M[apart_K], before))

    def own_cells(self, row_C: Tensor, column_C: Tensor, user_B: Tensor, moment_B: Tensor) -> OwnCells:
        """Of cells whose users have the items, who are then told of others alone."""
        return OwnCells(row_C, column_C, self.facts_without_own(user_B[row_C], column_C, moment_B[row_C]))

    def _table(self, at_A: Tensor) -> Tensor:
        """[A, D, F] of all items as of ascending moments: of the last one there is, which most questions come after,
        as it was worked out before."""
        if len(at_A) == 1 and int(at_A[0]) == self.end:
            return self._latest
        return torch.cat([self._part(part) for part in torch.split(at_A, max(1, CELLS_AT_ONCE // self.size))])

    @cached_property
    def _latest(self) -> Tensor:
        return self._part(torch.full((1,), self.end, device=self.key.device))

    def _part(self, at_A: Tensor) -> Tensor:
        """[A, D, F] of all items as of ascending moments: swept where these are many for the purchases there are."""
        if len(at_A) > 1 and len(self.key) <= SWEPT_A_CELL * len(at_A) * self.size:
            return self._swept(at_A)
        return self._facts_of(torch.arange(self.size, device=self.key.device)[None, :], at_A[:, None])

    def _swept(self, at_A: Tensor) -> Tensor:
        """[A, D, F] of all items as of ascending moments: from one to the next what sold between them is added."""
        places = {days: self._places(at_A - days * DAY) for days in (0, *WINDOWS_DAYS)}
        return self._facts_at(places, at_A[:, None], torch.arange(self.size, device=self.key.device)[None, :])

    def _places(self, at_A: Tensor) -> Tensor:
        """[A, D] where each item's purchases at or after each of ascending moments begin."""
        first_D = self._place(torch.arange(self.size, device=self.key.device), at_A[0])
        time_E, column_E = self._by_time
        low, high = torch.searchsorted(time_E, at_A[[0, -1]]).tolist()
        row_K = torch.searchsorted(at_A, time_E[low:high], right=True)  # the first moment that comes after each of them
        sold = torch.bincount(row_K * self.size + column_E[low:high], minlength=len(at_A) * self.size)
        return first_D + sold.view(len(at_A), self.size).cumsum(dim=0)

    @cached_property
    def _by_time(self) -> tuple[Tensor, Tensor]:
        """(time, item) of all purchases [E], the earliest first."""
        column_E = torch.repeat_interleave(self.begin.diff())
        time_E, order_E = torch.sort(self.key - column_E * self.span + self.start, stable=True)
        return time_E, column_E[order_E].to(torch.int32)

    def facts_without_own(self, user_M: Tensor, column_M: Tensor, moment_M: Tensor) -> Tensor:
        """Facts [M, F] of a few cells as if each one's user had bought nothing."""
        at_M = self._at(moment_M)
        ends = torch.stack([self.begin[column_M], self._place(column_M, at_M)], dim=1).flatten()
        cell_E, sale_E = expand(ends, 2 * torch.arange(len(user_M), device=ends.device))
        kept_K = torch.nonzero(self.user[sale_E] != user_M[cell_E])[:, 0]
        cell_K = cell_E[kept_K]
        age_K = at_M[cell_K] - self._time(sale_E[kept_K], column_M[cell_K])
        counts = [_counted(cell_K[age_K <= days * DAY], len(user_M)) for days in WINDOWS_DAYS]
        oldest_M = torch.full_like(at_M, int(OLDEST_DAYS * DAY))
        last_M = oldest_M.scatter_reduce(0, cell_K, age_K, "amin")
        first_M = torch.zeros_like(at_M).scatter_reduce(0, cell_K, age_K, "amax")
        some_M = _counted(cell_K, len(user_M)) > 0
        return _facts(counts, [torch.where(some_M, age_M, oldest_M) for age_M in (last_M, first_M)])

    def _facts_of(self, column: Tensor, moment: Tensor) -> Tensor:
        """[..., F] of items as of moments, whose shapes are broadcast."""
        at = self._at(moment)
        places = {days: self._place(column, at, days * DAY) for days in (0, *WINDOWS_DAYS)}
        return self._facts_at(places, at, column)

    def _facts_at(self, places: Mapping[int, Tensor], at: Tensor, column: Tensor) -> Tensor:
        """[..., F] of items as of moments, by where their purchases begin so many days before these."""
        place, first = places[0], self.begin[column]
        counts = [place - torch.maximum(places[days], first) for days in WINDOWS_DAYS]
        some = place > first
        ages = [at - self._time(there, column) for there in (torch.where(some, place - 1, 0), first)]
        return _facts(counts, [torch.where(some, age, int(OLDEST_DAYS * DAY)) for age in ages])

    def _age(self, moment: Tensor) -> Tensor:
        return _days(torch.where(moment >= NOW, 0, moment - self.end)).to(torch.float32).log1p() / AGE_SCALE

    def _at(self, moment: Tensor) -> Tensor:
        return moment.clamp(self.start, self.end)

    def _place(self, column: Tensor, at: Tensor, before: int = 0) -> Tensor:
        """Where purchases of an item begin that came at or after so many seconds before a moment."""
        return torch.searchsorted(self.key, column * self.span + (at - before - self.start).clamp_min(0))

    def _time(self, sale: Tensor, column: Tensor) -> Tensor:
        if len(self.key) == 0:
            return torch.zeros_like(sale)
        return self.key[sale.clamp_max(len(self.key) - 1)] - column * self.span + self.start


def _counted(cell: Tensor, num_cells: int) -> Tensor:
    return torch.bincount(cell, minlength=num_cells)


def _facts(counts: list[Tensor], ages: list[Tensor]) -> Tensor:
    values = (*counts, *(_days(age) for age in ages))
    return torch.stack([value.to(torch.float32).log1p() for value in values], dim=-1)


def _days(seconds: Tensor) -> Tensor:
    return (seconds / DAY).clamp(0, OLDEST_DAYS)


def asked_earlier(samples: Samples, most: int, *, seed: int) -> Samples:
    """The same, each asking as of a moment up to `most` seconds before its target's, drawn: what is known when a model
    is asked has an age, and weights that learn from knowledge of the same hour would trust the last week too much."""
    if samples.target_time is None or most == 0:
        return samples
    age_N = np.random.default_rng(seed).random(len(samples)) * most
    return dataclasses.replace(samples, target_time=samples.target_time - age_N.astype(np.int64))


def clocks_of(known: Samples, num_x: int, num_items: int) -> tuple[SalesClock, SalesClock] | None:
    """Towards X and towards Y, of all that is known; None where there are no times."""
    purchases = purchases_of(known)
    if purchases is None:
        return None
    user, item, time = purchases
    start, end = int(time.min()), int(time.max()) + 1
    clocks = []
    for ids in (range(num_x), range(num_x, num_items)):
        low, high = np.searchsorted(item, [ids.start, ids.stop])
        column = item[low:high] - ids.start
        begin = np.searchsorted(column, np.arange(len(ids) + 1)).astype(np.int64)
        key = column * (end - start + 1) + (time[low:high] - start)
        columns = (begin, key, user[low:high].astype(np.int64))
        clocks.append(SalesClock(len(ids), start, end, *(torch.from_numpy(values) for values in columns)))
    return clocks[0], clocks[1]
