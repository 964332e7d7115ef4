"""Propagation over a graph, and how to undo an edge in it.

    h_l = A dropout(h_{l-1}) + b_l,   G = mean(h_0 .. h_L)          (arXiv 2406.03085, section 4.1)

No weight matrix and no non-linearity. Taking weight w of the edge p -> t out of row p, whose weights sum to s, turns
the neighbours' mean m of p into m + w / (s - w) (m - z_t), z_t being what t sent; into zero if s = w.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from graph.item_graph import ItemGraph
from graph.noise import Noise


class Neighbours(Protocol):
    """A graph to propagate over."""

    def neighbour_mean(self, table_NK: Tensor) -> Tensor:
        """Each node's neighbours' rows, averaged."""
        ...


@dataclass(frozen=True)
class Propagated:
    """The result for every node, and what `without_edges` needs."""

    result: Tensor  # [N, K]
    """G."""
    means: Tensor  # [N, K]
    """The neighbours' means, summed over layers."""
    sent: Tensor  # [N, K]
    """What each node sent, summed over layers."""
    layers: int

    def at(self, node_P: Tensor) -> Tensor:
        """G of some nodes."""
        return nn.functional.embedding(node_P, self.result)

    def without_edges(self, graph: ItemGraph, source_P: Tensor, target_P: Tensor) -> Tensor:
        """G of each source as if one user did not have the edge to its target; padding as a target changes nothing.

        Exact for one layer, and for two without loops; deeper, only the source's own row is mended.
        """
        kept_PK = self.at(source_P)
        own_P = graph.own_weight(source_P, target_P)
        rest_P = graph.total[source_P] - own_P
        means_PK = nn.functional.embedding(source_P, self.means)
        sent_PK = nn.functional.embedding(target_P.clamp_max(len(self.sent) - 1), self.sent)
        share_P = own_P / rest_P.clamp_min(0.5)  # weights are whole numbers: below 0.5 the rest is zero
        mended_PK = share_P[:, None] * (means_PK - sent_PK)
        emptied_P = (own_P > 0) & (rest_P < 0.5)
        change_PK = torch.where(emptied_P[:, None], -means_PK, mended_PK)
        return kept_PK + change_PK / (self.layers + 1)


def propagate(
    graph: Neighbours, table_NK: Tensor, bias_LK: Tensor, noise: Noise | None, *, dropout: float
) -> Propagated:
    """Propagate a table over `len(bias_LK)` layers."""
    h_NK = table_NK
    total_NK = table_NK
    means_NK, sent_sum_NK = torch.zeros_like(table_NK), torch.zeros_like(table_NK)
    for bias_K in bias_LK:
        sent_NK = h_NK if noise is None else noise.table_dropout(h_NK, dropout)
        mean_NK = graph.neighbour_mean(sent_NK)
        h_NK = mean_NK + bias_K
        total_NK = total_NK + h_NK
        means_NK, sent_sum_NK = means_NK + mean_NK, sent_sum_NK + sent_NK
    layers = len(bias_LK)
    return Propagated(total_NK / (layers + 1), means_NK, sent_sum_NK, layers)
