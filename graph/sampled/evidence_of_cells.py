"""What evidence says of some cells of samples and candidates; `Evidence.forward` says the same of whole domains."""

import torch
from torch import Tensor

from graph.batches import Batch
from graph.clock import Sold
from graph.evidence import Evidence, EvidenceGraph
from graph.sampled.cells import Cells
from graph.sampled.words_of_cells import SharedWords, shared_words, words_of_cells


def evidence_of_cells(
    evidence: Evidence,
    graph: EvidenceGraph,
    rows: Batch,
    cells: Cells,
    near_M: Tensor,
    *,
    leave_own: bool,
    sold: Sold | None = None,
    shared: SharedWords | None = None,
) -> Tensor:
    """Scores [M]; with `leave_own`, as if the train samples of the users who ask did not exist.

    Args:
        near_M: what the companions of each cell's history say of its item, own ones left out where they are to be.
        sold: `sold_of_cells`, where that is known.
        shared: `shared_words`, where they are known.
    """
    users_M = graph.num_users[graph.first + cells.column]
    shared = shared_words(graph, rows.history, cells) if shared is None else shared
    words_M = words_of_cells(evidence, graph, rows.history, shared)
    sold = sold_of_cells(graph, rows, cells) if sold is None else sold
    if leave_own:
        asker_C, column_C = graph.own_columns(rows.user)
        is_own_M = cells.is_one_of(asker_C * cells.size + column_C)
        users_M = users_M - is_own_M.to(users_M.dtype)
        if sold is not None:
            assert graph.clock is not None
            own_C = torch.nonzero(is_own_M)[:, 0]
            row_C = cells.row[own_C]
            own_CF = graph.clock.facts_without_own(rows.user[row_C], cells.column[own_C], rows.moment[row_C])
            sold.facts[own_C] = own_CF  # gathered for these cells alone
    return evidence.mixed(graph.terms, near_M, words_M, users_M, sold)


def sold_of_cells(graph: EvidenceGraph, rows: Batch, cells: Cells) -> Sold | None:
    """What sold of each cell's item before its sample's moment [M]; None without times."""
    return None if graph.clock is None else graph.clock.of_cells(cells.row, cells.column, rows.moment)
