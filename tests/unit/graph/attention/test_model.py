"""Where states and user vectors come from, what a mask keeps out, what a corruption touches."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graph.attention.forward import corrupt
from graph.batches import make_batch, next_items, next_of_own_domain
from graph.config import GraphConfig
from graph.load import Prepared, make_ranker, prepare
from graph.noise import Noise
from graph.ranker import GraphRanker
from tests.graph_runs import ALONE, NUM_ITEMS, NUM_X, batch_of, make_samples, tiny, write_run

PAD = NUM_ITEMS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, GraphConfig, GraphRanker]:
    run_dir: Path = tmp_path_factory.mktemp("run")
    write_run(run_dir)
    settings = tiny("paper")
    prepared = prepare(run_dir, settings, ALONE)
    return prepared, settings, make_ranker(prepared, settings, seed=3, device=ALONE.device).eval()


def histories(*rows: list[int]) -> Tensor:
    return torch.tensor([[PAD] * (6 - len(row)) + row for row in rows])


def test_user_vectors_come_from_the_last_position_of_each_domain(
    made: tuple[Prepared, GraphConfig, GraphRanker],
) -> None:
    prepared, _, ranker = made
    model, graphs = ranker.attention, prepared.graphs
    history = histories([1, 20, 2, 21], [20, 21], [3, 4, 5], [], [22, 6, 23])
    states = model.encode(graphs, model.propagate(graphs, None), history, None)
    for domain, own in ((0, states.x), (1, states.y)):
        vectors = model.user_vectors(states, domain)
        for row in range(len(history)):
            expected = torch.zeros(vectors.shape[1])
            real = [place for place in range(6) if history[row, place] != PAD]
            mine = [place for place in real if (history[row, place] >= NUM_X) == bool(domain)]
            if real:
                expected = expected + states.shared[row, real[-1]]
            if mine:
                expected = expected + own[row, mine[-1]]
            torch.testing.assert_close(vectors[row], expected)


def test_the_other_domain_does_not_reach_a_domains_states(made: tuple[Prepared, GraphConfig, GraphRanker]) -> None:
    prepared, _, ranker = made
    model, graphs = ranker.attention, prepared.graphs
    tables = model.propagate(graphs, None)
    one, other = (model.encode(graphs, tables, histories([1, y, 2, y + 1, 3]), None) for y in (20, 25))
    assert torch.equal(one.x, other.x)
    assert not torch.allclose(one.shared, other.shared)


def test_padding_does_not_change_states(made: tuple[Prepared, GraphConfig, GraphRanker]) -> None:
    prepared, _, ranker = made
    model, graphs = ranker.attention, prepared.graphs
    tables = model.propagate(graphs, None)
    short = torch.tensor([[1, 20, 2]])
    padded = model.encode(graphs, tables, histories([1, 20, 2]), None)
    bare = model.encode(graphs, tables, short, None)
    torch.testing.assert_close(padded.shared[:, -3:], bare.shared)


def test_later_items_do_not_reach_earlier_states(made: tuple[Prepared, GraphConfig, GraphRanker]) -> None:
    prepared, _, ranker = made
    model, graphs = ranker.attention, prepared.graphs
    tables = model.propagate(graphs, None)
    one, other = (model.encode(graphs, tables, histories([1, 20, last]), None) for last in (2, 23))
    torch.testing.assert_close(one.shared[:, :-1], other.shared[:, :-1])


def test_eval_mode_is_deterministic_and_noise_is_not_in_it(made: tuple[Prepared, GraphConfig, GraphRanker]) -> None:
    prepared, _, ranker = made
    history = histories([1, 20, 2], [21])
    with torch.no_grad():
        tables = ranker.propagate(prepared.graphs)
        one, other = (ranker.rank(prepared.graphs, tables, batch_of(history), 1) for _ in range(2))
    assert torch.equal(one, other)


def test_corruption_replaces_only_the_other_domains_items(made: tuple[Prepared, GraphConfig, GraphRanker]) -> None:
    graphs = made[0].graphs
    history = histories(*[[1, 20, 2, 21, 3, 22]] * 50, [4, 5])
    corrupted = corrupt(history, graphs, Noise(0, 0, torch.arange(51)), replaced=1)
    is_y = (history >= NUM_X) & (history != PAD)
    assert torch.equal(corrupted[~is_y], history[~is_y])
    assert bool(((corrupted[is_y] >= NUM_X) & (corrupted[is_y] < NUM_ITEMS)).all())
    assert float((corrupted[is_y] != history[is_y]).float().mean()) > 0.8
    again = corrupt(history, graphs, Noise(0, 1, torch.arange(51)), replaced=1)
    assert not torch.equal(corrupted, again)  # drawn anew at every step


def test_next_items_match_a_slow_search() -> None:
    samples = make_samples([(1, [1, 20, 2, 21], 3), (2, [20, 1], 22), (3, [], 4), (4, [5, 6, 20, 7, 21, 8, 22, 9], 10)])
    batch = make_batch(samples, samples.row_of(samples.sample), max_history=6, pad=PAD, device=ALONE.device)
    any_next, own_next = next_items(batch, pad=PAD), next_of_own_domain(batch, num_x=NUM_X, pad=PAD)
    for row in range(len(samples)):
        whole = [*batch.history[row].tolist(), int(batch.target[row])]
        for place in range(6):
            after = whole[place + 1 :] if whole[place] != PAD else []
            own = [item for item in after if (item >= NUM_X) == (whole[place] >= NUM_X)]
            assert int(any_next[row, place]) == (after[0] if after else PAD)
            assert int(own_next[row, place]) == (own[0] if own else PAD)
