"""A kept HNSW graph: the index made with it answers as the one that was built; one that leads astray is not taken."""

from pathlib import Path

import numpy as np
import pytest
import torch

from launch.state.kept import Arrays, KeptArrays
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.build import BuiltIndex, ShardKeys, Trained, build_index
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.kept_graph import fits
from retrieval.indexes.topk import Ints

NUM_KEYS = 700
CONFIG = IndexConfig(kind="hnsw", m=4, ef=16).resolved(NUM_KEYS)


def vectors(count: int, seed: int) -> Floats:
    return to_grid(to_unit_length(np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)))


KEYS, QUERIES = vectors(NUM_KEYS, 1), vectors(50, 2)


def built(kept: KeptArrays) -> BuiltIndex:
    keys = ShardKeys(lambda places: KEYS[places], np.arange(NUM_KEYS), None)
    return build_index(CONFIG, keys, Trained(), device=torch.device("cpu"), kept=kept)


def answers(kept: KeptArrays) -> tuple[Floats, Ints]:
    return built(kept).index.search(QUERIES, 5)


def graph_of(folder: Path) -> dict[str, np.ndarray]:
    def never() -> Arrays:
        raise AssertionError("it is kept")

    arrays = KeptArrays(folder, "a").arrays("hnsw", never)
    return {name: array.copy() for name, array in arrays.items()}


def test_an_index_with_its_kept_graph_answers_as_the_built_one(tmp_path: Path) -> None:
    scores, ids = answers(KeptArrays(None, ""))
    for _ in range(2):  # built and kept, then read
        again_scores, again = answers(KeptArrays(tmp_path, "a"))
        assert np.array_equal(again, ids)
        assert np.array_equal(again_scores, scores)
    assert fits(graph_of(tmp_path), NUM_KEYS, CONFIG)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("neighbours", 0, NUM_KEYS), ("neighbours", -1, -2), ("levels", 3, 0), ("levels", 3, 9), ("levels", 3, 10**6),
        ("offsets", 5, 0), ("offsets", -1, 0), ("entry", 0, NUM_KEYS), ("entry", 0, -1), ("entry", 1, 9),
    ],
)  # fmt: skip
def test_a_graph_that_leads_astray_does_not_fit(tmp_path: Path, name: str, place: int, value: int) -> None:
    built(KeptArrays(tmp_path, "a"))
    graph = graph_of(tmp_path)
    graph[name][place] = value
    assert not fits(graph, NUM_KEYS, CONFIG)


def test_a_neighbour_that_is_not_on_the_level_does_not_fit(tmp_path: Path) -> None:
    built(KeptArrays(tmp_path, "a"))
    graph = graph_of(tmp_path)
    high, low = int(np.argmax(graph["levels"] > 1)), int(np.argmax(graph["levels"] == 1))
    graph["neighbours"][graph["offsets"][high] + 2 * CONFIG.m] = low
    assert not fits(graph, NUM_KEYS, CONFIG)


def test_a_graph_of_other_keys_or_types_does_not_fit(tmp_path: Path) -> None:
    built(KeptArrays(tmp_path, "a"))
    graph = graph_of(tmp_path)
    assert not fits(graph, NUM_KEYS + 1, CONFIG)
    assert not fits(graph | {"levels": graph["levels"].astype(np.int64)}, NUM_KEYS, CONFIG)
