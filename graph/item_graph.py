"""A directed graph on items as a matrix whose rows sum to 1, with the own edge of a sample taken out on demand."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from graph.edges import Edges
from graph.presets import EdgeWeight


@dataclass(frozen=True)
class ItemGraph:
    """Row i holds the weights of i's successors, divided by their sum."""

    adjacency: EdgeIndex  # [I, I], sorted by row
    weight_E: Tensor
    total_I: Tensor
    """Sum of i's edge weights before the division; 0 for an item without successors."""
    keys_E: Tensor
    """source * I + target of every edge, ascending."""
    count_E: Tensor
    binary: bool

    @property
    def num_items(self) -> int:
        """Rows."""
        return len(self.total_I)

    def neighbour_mean(self, table_IK: Tensor) -> Tensor:
        """Each item's successors' rows, averaged; zeros where there are none."""
        mean_IK: Tensor = self.adjacency.matmul(table_IK, self.weight_E)
        return mean_IK

    def own_weight(self, source_P: Tensor, target_P: Tensor) -> Tensor:
        """Weight that each edge loses when one user's count is taken out: that of a train sample's own edge.

        A pair that is no edge, as with padding, loses nothing. A binary edge goes only with its last user.
        """
        key_P = source_P * self.num_items + target_P
        place_P = torch.searchsorted(self.keys_E, key_P).clamp_max(max(0, len(self.keys_E) - 1))
        if len(self.keys_E) == 0:
            return torch.zeros_like(key_P, dtype=self.weight_E.dtype)
        is_edge_P = (self.keys_E[place_P] == key_P) & (target_P < self.num_items)
        if self.binary:
            is_edge_P &= self.count_E[place_P] == 1
        return is_edge_P.to(self.weight_E.dtype)


def build_item_graph(edges: Edges, *, num_items: int, edge_weight: EdgeWeight) -> ItemGraph:
    """Rows normalised; every edge counts its users, or 1."""
    count_E = torch.from_numpy(edges.count)
    raw_E = torch.ones(len(count_E)) if edge_weight == "binary" else count_E.to(torch.float32)
    source_E, target_E = torch.from_numpy(edges.source), torch.from_numpy(edges.target)
    total_I = torch.zeros(num_items).index_add(0, source_E, raw_E)
    return ItemGraph(
        adjacency=as_edge_index(edges.source, edges.target, (num_items, num_items)),
        weight_E=raw_E / total_I[source_E],
        total_I=total_I,
        keys_E=source_E * num_items + target_E,
        count_E=count_E,
        binary=edge_weight == "binary",
    )


def as_edge_index(
    row: np.typing.NDArray[np.int64], column: np.typing.NDArray[np.int64], size: tuple[int, int]
) -> EdgeIndex:
    """A sparse matrix's pattern, given in row order, with what its products and their gradients need."""
    pattern = torch.from_numpy(np.stack([row, column]))
    adjacency: EdgeIndex = EdgeIndex(pattern, sparse_size=size, sort_order="row").fill_cache_()
    return adjacency
