"""A directed graph on items as a matrix whose rows sum to 1, with the own edge of a sample taken out on demand."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from graph.config import EdgeWeight
from graph.edges import Edges


@dataclass(frozen=True)
class ItemGraph:
    """Row i holds the weights of i's successors, divided by their sum."""

    adjacency: EdgeIndex  # [I, I], sorted by row
    weight: Tensor  # [E]
    total: Tensor  # [I]
    """Sum of i's edge weights before the division; 0 for an item without successors."""
    keys: Tensor  # [E]
    """source * I + target of every edge, ascending."""
    count: Tensor  # [E]
    binary: bool

    @property
    def num_items(self) -> int:
        """Rows."""
        return len(self.total)

    def neighbour_mean(self, table_IK: Tensor) -> Tensor:
        """Each item's successors' rows, averaged; zeros where there are none."""
        mean_IK: Tensor = self.adjacency.matmul(table_IK, self.weight)
        return mean_IK

    def own_weight(self, source_P: Tensor, target_P: Tensor) -> Tensor:
        """Weight that each edge loses when one user's count is taken out: that of a train sample's own edge.

        A pair that is no edge, as with padding, loses nothing. A binary edge goes only with its last user.
        """
        key_P = source_P * self.num_items + target_P
        place_P = torch.searchsorted(self.keys, key_P).clamp_max(max(0, len(self.keys) - 1))
        if len(self.keys) == 0:
            return torch.zeros_like(key_P, dtype=self.weight.dtype)
        is_edge_P = (self.keys[place_P] == key_P) & (target_P < self.num_items)
        if self.binary:
            is_edge_P &= self.count[place_P] == 1
        return is_edge_P.to(self.weight.dtype)


def build_item_graph(edges: Edges, *, num_items: int, edge_weight: EdgeWeight) -> ItemGraph:
    """Rows normalised; every edge counts its users, or 1."""
    count_E = torch.from_numpy(edges.count)
    raw_E = torch.ones(len(count_E)) if edge_weight == "binary" else count_E.to(torch.float32)
    source_E, target_E = torch.from_numpy(edges.source), torch.from_numpy(edges.target)
    total_I = torch.zeros(num_items).index_add(0, source_E, raw_E)
    return ItemGraph(
        adjacency=as_edge_index(edges.source, edges.target, (num_items, num_items)),
        weight=raw_E / total_I[source_E],
        total=total_I,
        keys=source_E * num_items + target_E,
        count=count_E,
        binary=edge_weight == "binary",
    )


def as_edge_index(
    row: np.typing.NDArray[np.int64], column: np.typing.NDArray[np.int64], size: tuple[int, int]
) -> EdgeIndex:
    """A sparse matrix's pattern, given in row order, with what its products and their gradients need."""
    # torch says at the first product that this layout is in beta, and that it checks no invariants.
    warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)", category=UserWarning)
    pattern = torch.from_numpy(np.stack([row, column]))
    adjacency: EdgeIndex = EdgeIndex(pattern, sparse_size=size, sort_order="row").fill_cache_()
    return adjacency
