"""The titles of both domains as one token trie held in flat arrays, for generation that can only end in a title.

Node 0 is the root, its children are the domains, and below a domain are the tokens of its titles, each closed by the
end token. Nodes are numbered level by level, so the children of node n are the consecutive nodes
`first_child[n] .. first_child[n + 1] - 1`, in token order: two arrays are the whole trie, and what may follow any
number of beams is found without a loop over them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from graph.companions.mapped import expand
from pairs.ragged import segments

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TitleTrie:
    """A trie of token sequences; every leaf is the end of a title and knows the items that bear it."""

    token: Ints
    """Node -> the token that leads to it (for the first level: the domain)."""
    first_child: Ints
    """[num_nodes + 1]"""
    first_item: Ints
    """[num_nodes + 1] into `items`."""
    items: Ints
    """Items by the node where their title ends, the most popular first, then by id."""

    @property
    def num_nodes(self) -> int:
        """Nodes, root and domains included."""
        return len(self.token)

    def children(self, node: int) -> range:
        """The nodes that follow `node`."""
        return range(int(self.first_child[node]), int(self.first_child[node + 1]))

    def items_at(self, node: int) -> Ints:
        """The items whose title ends at `node`, the most popular first."""
        return self.items[self.first_item[node] : self.first_item[node + 1]]

    def start_of(self, domain: int) -> int:
        """The node below which the titles of `domain` are."""
        for node in self.children(0):
            if self.token[node] == domain:
                return node
        raise ValueError(f"domain {domain} has no title with a token in it")


def build_trie(
    tokens: NDArray[np.int32],
    offsets: Ints,
    *,
    domain: NDArray[np.integer],
    popularity: Ints,
    max_tokens: int,
) -> TitleTrie:
    """The trie of the items' titles: item i's is `tokens[offsets[i] : offsets[i + 1]]`, its end token, which no title
    has inside, the last of them.

    One of more than `max_tokens` tokens is cut there: its leaf then stands for the whole title.
    """
    lengths = np.minimum(np.diff(offsets), max_tokens)
    table = np.full((len(lengths), 1 + int(lengths.max(initial=0))), -1, dtype=np.int32)
    table[:, 0] = domain
    filled = np.arange(table.shape[1] - 1) < lengths[:, None]
    table[:, 1:][filled] = tokens[segments(offsets[:-1], lengths)]
    items = np.arange(len(lengths))
    order = np.lexsort((items, -popularity, *table.T[::-1]))
    return _number_nodes(table[order], order)


def _number_nodes(table: NDArray[np.int32], items: Ints) -> TitleTrie:
    """`table` [titles, levels]: sequences in ascending order, closed with -1; `items`: the item of each row."""
    num_rows, num_levels = table.shape
    differs = np.ones((num_rows, num_levels), dtype=bool)
    differs[1:] = np.logical_or.accumulate(table[1:] != table[:-1], axis=1)
    is_new = differs & (table >= 0)
    node_of = np.cumsum(is_new.T.reshape(-1)).reshape(num_levels, num_rows).T  # 1-based: the root is 0

    level, row = np.nonzero(is_new.T)
    token = np.concatenate(([-1], table[row, level].astype(np.int64)))
    parent = np.where(level > 0, node_of[row, np.maximum(level - 1, 0)], 0)
    num_children = np.bincount(parent, minlength=len(token))
    first_child = np.concatenate(([1], 1 + np.cumsum(num_children)))

    ends = node_of[np.arange(num_rows), (table >= 0).sum(axis=1) - 1] if num_rows else np.zeros(0, dtype=np.int64)
    by_end = np.argsort(ends, kind="stable")  # keeps the order of popularity within a title
    first_item = np.concatenate(([0], np.cumsum(np.bincount(ends, minlength=len(token)))))
    return TitleTrie(token=token, first_child=first_child, first_item=first_item, items=items[by_end])


@dataclass(frozen=True)
class TrieOnDevice:
    """The two arrays that the beam search reads, as tensors."""

    token: torch.Tensor
    first_child: torch.Tensor

    @classmethod
    def of(cls, trie: TitleTrie, device: torch.device) -> "TrieOnDevice":
        """Copy `trie` to `device`."""
        return cls(torch.from_numpy(trie.token).to(device), torch.from_numpy(trie.first_child).to(device))

    def expand(self, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """All children of `nodes` [n]: which of the n each belongs to, and its node; both [total children]."""
        return expand(self.first_child, nodes)

    def is_leaf(self, nodes: torch.Tensor) -> torch.Tensor:
        """True where a title ends."""
        return self.first_child[nodes] == self.first_child[nodes + 1]
