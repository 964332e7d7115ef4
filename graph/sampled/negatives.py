"""Negatives that are drawn for a step, and the correction that lets them stand for a whole domain.

Items are drawn with replacement, item j with probability q_j in proportion to (users of j + 1) ** 0.75, the same ones
for all samples of a step on all ranks. An item that is drawn enters a softmax's sum with weight 1 / (n q_j), the log-Q
correction (Bengio and Senecal 2008; Yi et al. 2019): the sum over those that are no candidates anyway, plus the
candidates' own, has the full softmax's sum as its expectation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graph.config import LossConfig

POWER = 0.75


@dataclass(frozen=True)
class Drawn:
    """Items of one domain, some perhaps twice."""

    column: Tensor  # [S], counted from the domain's first item
    log_weight: Tensor  # [S]


@dataclass(frozen=True)
class Negatives:
    """What is drawn from."""

    bound: Tensor  # [size] float64, q summed up to each item; the last is 1

    def draw(self, uniform_S: Tensor) -> Drawn:
        """An item for each of some numbers in [0, 1)."""
        column_S = torch.searchsorted(self.bound, uniform_S, right=True).clamp_max(len(self.bound) - 1)
        below_S = torch.where(column_S > 0, self.bound[(column_S - 1).clamp_min(0)], 0.0)
        share_S = self.bound[column_S] - below_S
        return Drawn(column_S, -(share_S * len(uniform_S)).log().float())


def negatives_of(num_users_D: Tensor) -> Negatives:
    """By the users of each item of a domain."""
    mass_D = (num_users_D.double() + 1) ** POWER
    bound_D = mass_D.cumsum(0)
    return Negatives(bound_D / bound_D[-1])


def whole_domain(size: int, device: torch.device) -> Drawn:
    """Every item once: with these the sampled loss is the full softmax's."""
    return Drawn(torch.arange(size, device=device), torch.zeros(size, device=device))


def is_sampled(loss: LossConfig, num_items: int) -> bool:
    """Whether losses over a domain of so many items are estimated."""
    return loss.sampled_negatives > 0 and num_items > loss.full_softmax_items
