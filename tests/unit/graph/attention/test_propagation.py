"""Propagation against dense matrices; what leaves a graph when a target's edge is dropped."""

import numpy as np
import pytest
import torch
from torch import Tensor

from graph.attention.propagation import propagate
from graph.config import EdgeWeight
from graph.edges import successor_edges
from graph.item_graph import ItemGraph, build_item_graph
from graph.noise import Noise
from pairs.tables import Samples
from tests.graph_runs import NUM_ITEMS, NUM_X, make_samples, make_splits

DOMAINS = (np.arange(NUM_ITEMS) >= NUM_X).astype(np.int8)


def graph_of(train: Samples, *, edge_weight: EdgeWeight = "count") -> ItemGraph:
    edges = successor_edges(train, DOMAINS, within_domain=False)
    return build_item_graph(edges, num_items=NUM_ITEMS, edge_weight=edge_weight)


def dense(train: Samples, *, edge_weight: EdgeWeight = "count") -> Tensor:
    edges = successor_edges(train, DOMAINS, within_domain=False)
    matrix = torch.zeros(NUM_ITEMS, NUM_ITEMS)
    matrix[edges.source, edges.target] = torch.from_numpy(edges.count).float() if edge_weight == "count" else 1.0
    return matrix / matrix.sum(1, keepdim=True).clamp_min(1e-9)


@pytest.mark.parametrize("edge_weight", ["count", "binary"])
def test_propagation_matches_dense_matrices(edge_weight: EdgeWeight) -> None:
    train = make_splits()["train"]
    table, bias = torch.randn(NUM_ITEMS, 5, requires_grad=True), torch.randn(2, 5)
    a = dense(train, edge_weight=edge_weight)
    h_1 = a @ table + bias[0]
    h_2 = a @ h_1 + bias[1]
    expected = (table + h_1 + h_2) / 3
    result = propagate(graph_of(train, edge_weight=edge_weight), table, bias, None, dropout=0.5).result
    torch.testing.assert_close(result, expected)
    weights = torch.randn(NUM_ITEMS, 5)
    (expected_grad,) = torch.autograd.grad((expected * weights).sum(), table)
    (found_grad,) = torch.autograd.grad((result * weights).sum(), table)
    torch.testing.assert_close(found_grad, expected_grad)


@pytest.mark.parametrize("edge_weight", ["count", "binary"])
def test_dropping_a_samples_edge_equals_a_graph_without_it(edge_weight: EdgeWeight) -> None:
    rows = [(1, [0, 20], 4), (2, [0, 20], 4), (3, [1, 20], 5), (4, [7], 8)]
    train = make_samples(rows)
    table, bias = torch.randn(NUM_ITEMS, 5), torch.randn(1, 5)
    whole = propagate(graph_of(train, edge_weight=edge_weight), table, bias, None, dropout=0.0)
    for row in rows:
        _, history, target = row
        without = graph_of(make_samples([other for other in rows if other != row]), edge_weight=edge_weight)
        expected = propagate(without, table, bias, None, dropout=0.0).at(torch.tensor([history[-1]]))
        own = torch.tensor([history[-1]]), torch.tensor([target])
        torch.testing.assert_close(whole.without_edges(graph_of(train, edge_weight=edge_weight), *own), expected)


def test_dropping_nothing_changes_nothing() -> None:
    train = make_splits()["train"]
    graph, table = graph_of(train), torch.randn(NUM_ITEMS, 5)
    whole = propagate(graph, table, torch.zeros(1, 5), None, dropout=0.0)
    a = dense(train)
    source, target = [part.tolist() for part in torch.nonzero(a == 0, as_tuple=True)]
    source, target = [*source, NUM_ITEMS - 1], [*target, NUM_ITEMS]  # padding as a target
    items = torch.tensor(source)
    torch.testing.assert_close(whole.without_edges(graph, items, torch.tensor(target)), whole.at(items))


def test_a_target_leaves_no_trace_in_its_own_input() -> None:
    train = make_samples([(1, [0, 20], 4)])
    graph = graph_of(train)
    table = torch.randn(NUM_ITEMS, 5, requires_grad=True)
    whole = propagate(graph, table, torch.zeros(1, 5), None, dropout=0.0)
    (leaking,) = torch.autograd.grad(whole.at(torch.tensor([20])).sum(), table, retain_graph=True)
    mended = whole.without_edges(graph, torch.tensor([20]), torch.tensor([4]))
    (clean,) = torch.autograd.grad(mended.sum(), table)
    assert leaking[4].abs().sum() > 0
    assert clean[4].abs().sum() == 0


def test_noise_belongs_to_the_sample() -> None:
    x = torch.ones(6, 4, 5)
    together = Noise(1, 2, torch.arange(6)).dropout(x, 0.5)
    apart = [Noise(1, 2, torch.arange(6)[part]).dropout(x[part], 0.5) for part in (slice(0, 4), slice(4, 6))]
    assert torch.equal(together, torch.cat(apart))
    assert not torch.equal(together, Noise(1, 3, torch.arange(6)).dropout(x, 0.5))


def test_noise_drops_the_share_it_is_told() -> None:
    noise = Noise(3, 0, torch.arange(1000))
    kept = noise.dropout(torch.ones(1000, 100), 0.2)
    assert set(kept.flatten().tolist()) == {0.0, 1.25}
    assert abs(float((kept == 0).float().mean()) - 0.2) < 0.005
    uniform = noise.uniform(torch.Size([1000, 100]))
    assert abs(float(uniform.mean()) - 0.5) < 0.005
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
