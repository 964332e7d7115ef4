"""Item graphs out of train samples and propagation over them, beside dictionaries, loops and `index_add`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.graph_parts.rows import Row, fastest, speed
from bench.graph_reference import added_up, edge_ends, looped_companions, looped_successors, same_arrays
from bench.graph_training import some_rows
from graph.companions.kept import own_companions
from graph.companions.rules import CompanionRules
from graph.config import GraphConfig
from graph.edges import successor_edges
from graph.item_graph import ItemGraph
from graph.presets import PRESETS
from pairs.tables import load_pair, load_samples


def measure_edges(run_dir: Path, *, num_rows: int) -> list[Row]:
    """Item graphs out of train samples."""
    train, items = some_rows(load_samples(run_dir, "train"), num_rows), load_pair(run_dir).items
    model = PRESETS["best"].model
    rules = CompanionRules(items.num_items, items.num_x, window=model.window, max_companions=items.num_items)
    text_IK = np.zeros((items.num_items, 8), dtype=np.float32)
    ours, loops = (
        [successors(train, items.domain, within_domain=within) for within in (False, True)]
        for successors in (successor_edges, looped_successors)
    )
    assert all(map(same_arrays, ours, loops)), "successor edges: the loops find others"
    looped = looped_companions(train, window=model.window)
    tables = own_companions(train, text_IK, rules, memory_gib=1.0)
    given = [graph.pairs_of(torch.arange(items.num_items), None) for graph in tables.of_domain]
    kept = {
        (int(item), int(candidate) + graph.ids.start): counts
        for graph, pairs in zip(tables.of_domain, given, strict=True)
        for item, candidate, counts in zip(pairs.entry, pairs.candidate, pairs.gap_counts.int().tolist(), strict=True)
    }
    assert kept == looped.counts, "companions: the loops find others"
    seconds = fastest(
        lambda: [successor_edges(train, items.domain, within_domain=within) for within in (False, True)],
        lambda: [looped_successors(train, items.domain, within_domain=within) for within in (False, True)],
        repeats=2,
    )
    of_companions = fastest(
        lambda: own_companions(train, text_IK, rules, memory_gib=1.0),
        lambda: looped_companions(train, window=model.window),
        repeats=2,
    )
    beside = "dictionaries and loops"
    return [
        speed("successor edges, mixed and within a domain", "samples/s", len(train), *seconds, beside),
        speed("companions, counted onto the disk", "samples/s", len(train), *of_companions, beside),
    ]


def measure_propagation(graph: ItemGraph, settings: GraphConfig, preset: str) -> list[Row]:
    """The neighbours' mean over the mixed graph, and with its gradient."""
    ends = edge_ends(graph)
    torch.manual_seed(1)
    table_IK = torch.randn(graph.num_items, settings.model.dim, requires_grad=True)
    back_IK = torch.randn_like(table_IK)

    def both_ways(mean: Callable[[], torch.Tensor]) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
        def run() -> tuple[torch.Tensor, torch.Tensor]:
            mean_IK = mean()
            return mean_IK, torch.autograd.grad(mean_IK, table_IK, back_IK)[0]

        return run

    ways = (lambda: graph.neighbour_mean(table_IK), lambda: added_up(ends, graph.weight, table_IK))
    for result, expected in zip(both_ways(ways[0])(), both_ways(ways[1])(), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    forward, there_and_back = fastest(*ways, repeats=10), fastest(*map(both_ways, ways), repeats=10)
    edges = len(graph.keys)
    label = f"width {settings.model.dim} ({preset})"
    return [
        speed(f"propagation, forward, {label}", "edges/s", edges, *forward, "index_add over edges"),
        speed(f"propagation, forward and backward, {label}", "edges/s", edges, *there_and_back, "index_add over edges"),
    ]
