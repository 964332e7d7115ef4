"""The losses, each as a sum over this rank's terms; who calls divides by the count over all ranks.

Sums and counts, because an average of ranks' averages is not the average.
"""

import torch
from torch import Tensor, nn

from graph.attention.encoder import masked_mean
from graph.attention.model import States

SMALL = 1e-12


def cross_entropy_sum(
    scores_PC: Tensor, target_P: Tensor, *, smoothing: float = 0.0, times_P: Tensor | None = None
) -> Tensor:
    """- sum log softmax(scores)[target], the target smoothed over all candidates; 0 for no rows.

    Args:
        times_P: how often each row counts, if not once.
    """
    if len(target_P) == 0:
        return scores_PC.sum()  # zero, but a part of the graph: every parameter gets its gradient
    if times_P is None:
        return nn.functional.cross_entropy(scores_PC, target_P, reduction="sum", label_smoothing=smoothing)
    each_P = nn.functional.cross_entropy(scores_PC, target_P, reduction="none", label_smoothing=smoothing)
    return (each_P * times_P).sum()


class Discriminator(nn.Module):
    """sigma(a^T W b + c): do two histories' means belong together? (Deep Graph Infomax, Velickovic et al. 2019)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.form = nn.Bilinear(width, width, 1)

    def forward(self, a_BK: Tensor, b_BK: Tensor) -> Tensor:
        """Logits [B]."""
        logits_B: Tensor = ((a_BK @ self.form.weight[0]) * b_BK).sum(dim=1) + self.form.bias  # as `form`, but quick
        return logits_B


def infomax_sum(
    discriminator: Discriminator, states: States, corrupted_BLK: Tensor, domain: int, times_B: Tensor
) -> Tensor:
    """Tell (mean H_D, mean H_S over the other domain's positions) from the same with a corrupted mixed history.

    Returns: the sum over rows with items of both domains of the two binary cross-entropies' mean.

    Args:
        times_B: how often each row counts.
    """
    own_BLK, is_own_BL = states.of(domain)
    is_other_BL = states.is_y if domain == 0 else states.is_x
    counts_B = is_own_BL.any(dim=1) & is_other_BL.any(dim=1)
    own_BK = masked_mean(own_BLK, is_own_BL)
    true_B = discriminator(own_BK, masked_mean(states.shared, is_other_BL))
    false_B = discriminator(own_BK, masked_mean(corrupted_BLK, is_other_BL))
    each_B: Tensor = nn.functional.softplus(-true_B) + nn.functional.softplus(false_B)
    return (each_B * counts_B * times_B).sum() / 2


def perturb(x_TK: Tensor, uniform_TK: Tensor, epsilon: float) -> Tensor:
    """x + epsilon sign(x) u / |u|: noise of a fixed norm that keeps every sign (SimGCL, Yu et al. 2022)."""
    direction_TK = uniform_TK / uniform_TK.norm(dim=-1, keepdim=True).clamp_min(SMALL)
    perturbed_TK: Tensor = x_TK + epsilon * x_TK.sign() * direction_TK
    return perturbed_TK


def alignment_sum(halves: tuple[Tensor, Tensor], times_P: Tensor) -> Tensor:
    """Mean squared distance of an item's two halves [P, d], summed over the items, each so many times."""
    return ((halves[0] - halves[1]).square().mean(dim=1) * times_P).sum()


def mean_discrepancy(halves: tuple[Tensor, Tensor]) -> Tensor:
    """Maximum mean discrepancy of two sets of vectors [P, d] with Gaussian kernels (Gretton et al. 2012).

    The widths are 1/4 to 4 times the mean squared distance, as is common; the biased estimate, which is never negative.
    """
    if len(halves[0]) == 0:
        return halves[0].sum() + halves[1].sum()
    both_QK = torch.cat(halves)
    norm_Q = both_QK.square().sum(dim=1)
    distance_QQ = (norm_Q[:, None] + norm_Q[None, :] - 2 * both_QK @ both_QK.T).clamp_min(0)
    width = distance_QQ.detach().mean().clamp_min(SMALL)
    kernel_QQ = torch.stack([torch.exp(-distance_QQ / (width * scale)) for scale in (0.25, 0.5, 1.0, 2.0, 4.0)]).sum(0)
    n = len(halves[0])
    discrepancy: Tensor = kernel_QQ[:n, :n].mean() + kernel_QQ[n:, n:].mean() - 2 * kernel_QQ[:n, n:].mean()
    return discrepancy
