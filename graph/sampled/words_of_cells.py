"""What histories' words say of some cells of samples and items: `Evidence.words` says the same of whole domains.

Shapes: B samples, M cells, C words of the histories, W of them distinct, U items that occur in cells, T those items'
words among the W.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graph.companions.mapped import expand
from graph.evidence import Evidence, EvidenceGraph, history_words
from graph.sampled.cells import Cells
from graph.sparse_product import ProductCells, cells_of_product, product_cells


@dataclass(frozen=True)
class SharedWords:
    """The words of histories and of the items in cells, whatever they weigh."""

    num_rows: int
    num_asked: int
    """W."""
    asked: Tensor  # [C], where each word of a history is in [W, B], flattened
    item: Tensor  # [T], one of U, ascending
    word: Tensor  # [T], one of W
    tfidf: Tensor  # [T]
    cells: ProductCells  # [M], where each is in [U, B]


def shared_words(graph: EvidenceGraph, history_BL: Tensor, cells: Cells) -> SharedWords:
    """Of the histories' words and those of the items that occur in cells, no others."""
    num_rows = len(history_BL)
    entries, entry_C, cell_C = history_words(graph, history_BL)
    # Numbers for every word of the vocabulary and every item of the domain: all here that grows with them, by five
    # bytes each.
    asked_W, place_V = _distinct(graph.word[cell_C], graph.num_words)
    column_U, place_D = _distinct(cells.column, graph.size)
    cell_M = place_D.index_select(0, cells.column).long() * num_rows + cells.row
    item_T, cell_T = expand(graph.word_offsets, column_U + graph.first)
    word_T = place_V.index_select(0, graph.word[cell_T])
    kept_K = torch.nonzero(word_T >= 0)[:, 0]
    return SharedWords(
        num_rows,
        len(asked_W),
        asked=place_V[graph.word[cell_C]].long() * num_rows + entries.row[entry_C],
        item=item_T[kept_K],
        word=word_T[kept_K].long(),
        tfidf=graph.tfidf[cell_T[kept_K]],
        cells=product_cells(cell_M, len(column_U), num_rows),
    )


def words_of_cells(evidence: Evidence, graph: EvidenceGraph, history_BL: Tensor, shared: SharedWords) -> Tensor:
    """Mean likeness of the history's words and the item's [M]."""
    _, _, value_C = evidence.query(graph, history_BL)
    query = torch.zeros(shared.num_asked * shared.num_rows, device=history_BL.device)
    query = query.index_add(0, shared.asked, value_C).view(shared.num_asked, shared.num_rows)
    if shared.num_asked == 0:
        return query.sum() + torch.zeros(len(shared.cells.cell), device=query.device)
    return cells_of_product(shared.item, shared.word, shared.tfidf, query, shared.cells)


def _distinct(number_M: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """(distinct numbers below `end`, ascending; the place of each number among them [end], -1 for the others); nothing
    is sorted."""
    occurs = torch.zeros(end, dtype=torch.bool, device=number_M.device)
    occurs[number_M] = True
    number_U = torch.nonzero(occurs)[:, 0]
    place = torch.full((end,), -1, dtype=torch.int32, device=number_M.device)
    place[number_U] = torch.arange(len(number_U), dtype=torch.int32, device=number_M.device)
    return number_U, place
