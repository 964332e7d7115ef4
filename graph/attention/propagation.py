"""Propagation over a graph, of all nodes or of those that are asked for, and how to undo an edge in it.

    h_l = A dropout(h_{l-1}) + b_l,   G = mean(h_0 .. h_L)          (arXiv 2406.03085, section 4.1)

No weight matrix and no non-linearity. Taking weight w of the edge p -> t out of row p, whose weights sum to s, turns
the neighbours' mean m of p into m + w / (s - w) (m - z_t), z_t being what t sent; into zero if s = w.

Of some nodes, layer l needs those that are L - l steps away at most: a training step costs what its batch reaches, not
what the catalogue holds. Numbers and gradients are those of the whole table.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from graph.companions.mapped import expand
from graph.item_graph import ItemGraph
from graph.noise import Noise
from graph.sparse_product import sparse_product


class Neighbours(Protocol):
    """A graph to propagate over."""

    @property
    def adjacency(self) -> EdgeIndex:
        """[N, N], sorted by row."""
        ...

    @property
    def weight(self) -> Tensor:
        """[E]."""
        ...

    def neighbour_mean(self, table_NK: Tensor) -> Tensor:
        """Each node's neighbours' rows, averaged."""
        ...


@dataclass(frozen=True)
class Propagated:
    """The result for some nodes, and what `without_edges` needs."""

    result: Tensor  # [N, K]
    """G."""
    means: Tensor  # [N, K]
    """The neighbours' means, summed over layers."""
    sent: Tensor  # [N, K]
    """What each node sent, summed over layers."""
    own: Tensor  # [N, K]
    """The table's rows."""
    layers: int
    node: Tensor | None = None  # [N], ascending
    """Which nodes; None: all."""

    def at(self, node_P: Tensor) -> Tensor:
        """G of some nodes."""
        return nn.functional.embedding(self._place(node_P), self.result)

    def own_at(self, node_P: Tensor) -> Tensor:
        """The table's rows of some nodes."""
        return nn.functional.embedding(self._place(node_P), self.own)

    def without_edges(self, graph: ItemGraph, source_P: Tensor, target_P: Tensor) -> Tensor:
        """G of each source as if one user did not have the edge to its target; padding as a target changes nothing.

        Exact for one layer, and for two without loops; deeper, only the source's own row is mended.
        """
        kept_PK = self.at(source_P)
        own_P = graph.own_weight(source_P, target_P)
        rest_P = graph.total[source_P] - own_P
        means_PK = nn.functional.embedding(self._place(source_P), self.means)
        sent_PK = nn.functional.embedding(self._place(target_P).clamp_max(len(self.sent) - 1), self.sent)
        share_P = own_P / rest_P.clamp_min(0.5)  # weights are whole numbers: below 0.5 the rest is zero
        mended_PK = share_P[:, None] * (means_PK - sent_PK)
        emptied_P = (own_P > 0) & (rest_P < 0.5)
        change_PK = torch.where(emptied_P[:, None], -means_PK, mended_PK)
        return kept_PK + change_PK / (self.layers + 1)

    def _place(self, node_P: Tensor) -> Tensor:
        return node_P if self.node is None else torch.searchsorted(self.node, node_P)


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
    return Propagated(total_NK / (layers + 1), means_NK, sent_sum_NK, table_NK, layers)


def propagate_to(
    node_N: Tensor,
    graph: Neighbours,
    table_VK: Tensor,
    bias_LK: Tensor,
    noise: Noise | None,
    *,
    dropout: float,
    by_rows: bool = False,
) -> Propagated:
    """`propagate` for some nodes only, which ascend: the same numbers, of the rows that they need.

    Args:
        by_rows: whether the table's gradient is to be sparse, of these rows.
    """
    reached = [node_N]  # by layer, the last first
    edges = []
    offsets = graph.adjacency.get_csr()[0][0]
    for _ in bias_LK:
        entry_E, cell_E = expand(offsets, reached[-1])
        column_E = graph.adjacency[1].as_subclass(Tensor)[cell_E]
        edges.append((entry_E, column_E, graph.weight[cell_E]))
        reached.append(torch.unique(torch.cat([reached[-1], column_E])))
    h_RK = nn.functional.embedding(reached[-1], table_VK, sparse=by_rows)
    at_N = torch.searchsorted(reached[-1], node_N)
    own_NK = total_NK = h_RK[at_N]
    means_NK, sent_NK = torch.zeros_like(own_NK), torch.zeros_like(own_NK)
    for bias_K, (entry_E, column_E, weight_E), before_R, after_Q in zip(
        bias_LK, reversed(edges), reversed(reached[1:]), reversed(reached[:-1]), strict=True
    ):
        sent_RK = h_RK if noise is None else noise.table_dropout(h_RK, dropout, before_R)
        place_E = torch.searchsorted(before_R, column_E)
        mean_QK = sparse_product(entry_E, place_E, weight_E, len(after_Q), sent_RK)
        h_RK = mean_QK + bias_K
        at_N, from_N = torch.searchsorted(after_Q, node_N), torch.searchsorted(before_R, node_N)
        total_NK = total_NK + h_RK[at_N]
        means_NK, sent_NK = means_NK + mean_QK[at_N], sent_NK + sent_RK[from_N]
    layers = len(bias_LK)
    return Propagated(total_NK / (layers + 1), means_NK, sent_NK, own_NK, layers, node_N)
