"""The losses, each as a sum over this rank's terms; who calls divides by the count over all ranks.

Sums and counts, because an average of ranks' averages is not the average.
"""

import torch
from torch import Tensor, nn

from graph.encoder import masked_mean
from graph.model import States

SMALL = 1e-12


def cross_entropy_sum(scores_PC: Tensor, target_P: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """- sum log softmax(scores)[target], the target smoothed over all candidates; 0 for no rows."""
    if len(target_P) == 0:
        return scores_PC.sum()  # zero, but a part of the graph: every parameter gets its gradient
    return nn.functional.cross_entropy(scores_PC, target_P, reduction="sum", label_smoothing=smoothing)


class Discriminator(nn.Module):
    """sigma(a^T W b + c): do two histories' means belong together? (Deep Graph Infomax, Velickovic et al. 2019)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.form = nn.Bilinear(width, width, 1)

    def forward(self, a_BK: Tensor, b_BK: Tensor) -> Tensor:
        """Logits [B]."""
        logits_B: Tensor = self.form(a_BK, b_BK)[:, 0]
        return logits_B


def infomax_sum(
    discriminator: Discriminator, states: States, corrupted_BLK: Tensor, domain: int
) -> tuple[Tensor, Tensor]:
    """Tell (mean H_D, mean H_S over the other domain's positions) from the same with a corrupted mixed history.

    Returns: the sum over rows of the two binary cross-entropies' mean, and which rows count [B]: those with items of
        both domains.
    """
    own_BLK, is_own_BL = states.of(domain)
    is_other_BL = states.is_y if domain == 0 else states.is_x
    counts_B = is_own_BL.any(dim=1) & is_other_BL.any(dim=1)
    own_BK = masked_mean(own_BLK, is_own_BL)
    true_B = discriminator(own_BK, masked_mean(states.shared, is_other_BL))
    false_B = discriminator(own_BK, masked_mean(corrupted_BLK, is_other_BL))
    each_B: Tensor = nn.functional.softplus(-true_B) + nn.functional.softplus(false_B)
    return (each_B * counts_B).sum() / 2, counts_B


def perturb(x_BLK: Tensor, uniform_BLK: Tensor, epsilon: float) -> Tensor:
    """x + epsilon sign(x) u / |u|: noise of a fixed norm that keeps every sign (SimGCL, Yu et al. 2022)."""
    direction_BLK = uniform_BLK / uniform_BLK.norm(dim=2, keepdim=True).clamp_min(SMALL)
    perturbed_BLK: Tensor = x_BLK + epsilon * x_BLK.sign() * direction_BLK
    return perturbed_BLK


def alignment_sum(halves: tuple[Tensor, Tensor]) -> Tensor:
    """Mean squared distance of an item's two halves [P, d], summed over the items."""
    return (halves[0] - halves[1]).square().mean(dim=1).sum()


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
