"""Best sellers: of all times, or with sales that fade, as of a moment."""

from dataclasses import dataclass

import numpy as np

from evaluation.matrices import Floats
from evaluation.ranked_lists import NO_ITEM
from evaluation.sales import Sales
from pairs.tables import Ints


@dataclass(frozen=True)
class LeadersAsked:
    """Popularity that fades, of B samples that each ask as of a moment."""

    sales: Sales
    moments: Ints
    """[B]."""
    ids: range
    half_life: float
    """Days."""

    def best(self, depth: int) -> Ints:
        """Twice as many as asked for, of the last time before each moment at which they were counted."""
        times_M, items_MK = self.sales.leaders(self.ids, self.half_life, 2 * depth)
        place_B = np.searchsorted(times_M, self.moments, side="right") - 1
        return np.where(place_B[:, None] >= 0, items_MK[np.maximum(place_B, 0)], NO_ITEM)

    def at(self, items_BP: Ints) -> Floats:
        """[B, P]."""
        at_BP = np.repeat(self.moments[:, None], items_BP.shape[1], axis=1)
        return self.sales.fading(items_BP.ravel(), at_BP.ravel(), self.half_life).reshape(items_BP.shape)
