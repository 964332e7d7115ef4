"""Words of cells beside those of the whole table, and beside what sorts to tell which words and items there are."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graph.companions.mapped import expand
from graph.evidence import Evidence, EvidenceGraph
from graph.sampled.cells import Cells
from graph.sampled.words_of_cells import shared_words, words_of_cells
from graph.sparse_product import sparse_product
from tests.graph_runs import NUM_ITEMS, tiny
from tests.unit.graph.sampled.test_losses import Asked


def cells_of(graph: EvidenceGraph, row: Tensor, column: Tensor, num_rows: int) -> Cells:
    return Cells(num_rows, graph.size, row, column, torch.zeros(len(row)), row[:0])


def sorted_words(evidence: Evidence, graph: EvidenceGraph, history_BL: Tensor, cells: Cells) -> Tensor:
    """The same by `torch.unique` and a dictionary of words, its cells picked out of the whole product."""
    num_rows = len(history_BL)
    word_C, row_C, value_C = evidence.query(graph, history_BL)
    asked_W, place_C = torch.unique(word_C, return_inverse=True)
    query = torch.zeros(len(asked_W) * num_rows).index_add(0, place_C * num_rows + row_C, value_C)
    column_U, place_M = torch.unique(cells.column, return_inverse=True)
    item_T, cell_T = expand(graph.word_offsets, column_U + graph.first)
    places = {word: place for place, word in enumerate(asked_W.tolist())}
    kept = [cell for cell, word in enumerate(graph.word[cell_T].tolist()) if word in places]
    word_K = torch.tensor([places[word] for word in graph.word[cell_T[kept]].tolist()])
    query = query.view(len(asked_W), num_rows)
    whole = sparse_product(item_T[kept], word_K, graph.tfidf[cell_T[kept]], len(column_U), query)
    return whole[place_M, cells.row]


def test_words_of_cells_are_those_of_the_whole_table(tmp_path: Path) -> None:
    asked = Asked(tmp_path, tiny())
    assert asked.graphs.evidence is not None
    graph, evidence = asked.graphs.evidence[1], asked.objective.ranker.evidence[1]
    assert isinstance(evidence, Evidence)
    history = asked.batch.history
    whole = evidence.words(graph, history)
    row, column = torch.tensor([3, 0, 0, 7, 3]), torch.tensor([4, 1, 4, 0, 4])
    shared = shared_words(graph, history, cells_of(graph, row, column, len(history)))
    torch.testing.assert_close(words_of_cells(evidence, graph, history, shared), whole[row, column])
    empty = torch.full((2, 6), NUM_ITEMS)
    nothing = shared_words(graph, empty, cells_of(graph, row[1:3] % 2, column[1:3], 2))
    assert words_of_cells(evidence, graph, empty, nothing).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("domain", [0, 1])
def test_nothing_sorted_says_the_same_to_the_bit_for_any_weights(tmp_path: Path, domain: int) -> None:
    asked = Asked(tmp_path, tiny())
    assert asked.graphs.evidence is not None
    graph, history = asked.graphs.evidence[domain], asked.batch.history
    flat = torch.randperm(len(history) * graph.size, generator=torch.Generator().manual_seed(1))[:40]
    cells = cells_of(graph, flat // graph.size, flat % graph.size, len(history))
    assert len(set(cells.column.tolist())) < graph.size  # some items are in no cell
    shared = shared_words(graph, history, cells)
    for evidence in (asked.objective.ranker.evidence[domain], Evidence()):
        assert isinstance(evidence, Evidence)
        given = words_of_cells(evidence, graph, history, shared)
        expected = sorted_words(evidence, graph, history, cells)
        assert torch.equal(given, expected)
        assert float(given.detach().max()) > 0
        weights = [evidence.text_bias, evidence.text_decay]
        gradients = [torch.autograd.grad((said * torch.arange(40.0)).sum(), weights) for said in (given, expected)]
        assert all(torch.equal(mine, other) for mine, other in zip(*gradients, strict=True))
        assert all(bool(gradient.any()) for gradient in gradients[0])
