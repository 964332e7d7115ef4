"""The scores of late interaction against its formula by loops; users' vectors; a gradient for every weight."""

from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch

from graph.batches import make_batch
from graph.build import _moved
from graph.config import GraphConfig
from graph.late.interaction import LateInteraction, vote_graphs
from graph.late.item_tables import ItemTables
from graph.load import Prepared, load_blocks, make_ranker, prepare, with_left_out
from graph.noise import Noise
from graph.objective import Objective, count_terms
from tests import graph_runs
from tests.graph_runs import ALONE, tiny, write_run
from tests.unit.graph.late.slow import IDS, NUM_X, PAD, random_tables, slow_row

HISTORIES = [[1, 25, 4, 30, 49, 2], [33], [], [3, 30], [7, 7, 40]]


def perturbed(seed: int = 0) -> LateInteraction:
    torch.manual_seed(seed)
    late = LateInteraction()
    with torch.no_grad():
        for weight in late.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return late


def padded(histories: list[list[int]], length: int = 6) -> torch.Tensor:
    return torch.tensor([[PAD] * (length - len(history)) + history for history in histories])


def slow_mix(late: LateInteraction, *, same: bool) -> list[float]:
    raw = (late.mix_same if same else late.mix_other).tolist()
    shares = [exp(value) / sum(exp(other) for other in raw) for value in raw]
    return shares if same else [shares[0], 0.0, shares[1]]


def slow_score(late: LateInteraction, tables: ItemTables, history: list[int], candidate: int, depth: int) -> float:
    """The module's docstring, by loops."""
    ids = IDS[int(candidate >= NUM_X)]
    votes = 0.0
    for place, item in enumerate(history):
        near = slow_row(tables, item, ids, depth)
        if candidate not in near:
            continue
        same, age = item in ids, len(history) - 1 - place
        cosine = sum(share * value for share, value in zip(slow_mix(late, same=same), near[candidate], strict=True))
        recency = late.latest.item() * (age == 0) - late.decay.item() * age
        votes += exp(recency + late.bias.tolist()[same]) * (cosine + 0.0001) ** late.power.tolist()[same]
    users = float(tables.num_users[candidate])
    return late.gain.item() * log(votes + exp(late.floor.item())) + late.popularity.item() * log(users + 0.1)


@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize("depth", [2, 100])
def test_scores_match_the_formula_by_loops(domain: int, depth: int) -> None:
    tables, late = random_tables(), perturbed(domain)
    graph = vote_graphs(tables, NUM_X, depth=depth)[domain]
    with torch.no_grad():
        scores_BD = late(graph, padded(HISTORIES), PAD)
    assert scores_BD.shape == (len(HISTORIES), len(IDS[domain]))
    for row, history in enumerate(HISTORIES):
        expected = [slow_score(late, tables, history, candidate, depth) for candidate in IDS[domain]]
        assert scores_BD[row].tolist() == pytest.approx(expected, rel=3e-3, abs=3e-3)


def test_an_empty_history_is_scored_by_popularity() -> None:
    tables, late = random_tables(), LateInteraction()
    scores = late(vote_graphs(tables, NUM_X, depth=4)[1], padded([[]]), PAD)[0]
    assert torch.equal(scores.argsort(stable=True), tables.num_users[NUM_X:].argsort(stable=True))


def test_a_row_is_scored_alike_alone_and_among_others() -> None:
    graph, late = vote_graphs(random_tables(), NUM_X, depth=4)[0], perturbed()
    together = late(graph, padded(HISTORIES), PAD)
    for row, history in enumerate(HISTORIES):
        assert torch.equal(late(graph, padded([history]), PAD)[0], together[row])


def test_a_table_that_counts_nothing_leaves_gradients_that_are_numbers() -> None:
    """Items that are near by that table alone have no likeness then: the power of 0 has no gradient."""
    late = LateInteraction()
    with torch.no_grad():
        late.mix_other.copy_(torch.tensor([-200.0, 200.0]))
    late(vote_graphs(random_tables(), NUM_X, depth=2)[1], padded([[1, 4, 9]]), PAD).sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in late.parameters() if weight.grad is not None)


def test_users_vectors_are_the_weighted_sums_of_unit_vectors() -> None:
    tables, late = random_tables(dim=70), perturbed()
    with torch.no_grad():
        vectors = late.user_vectors(tables, padded(HISTORIES), IDS[1], PAD)
    assert vectors.shape == (len(HISTORIES), 3 * 64)
    for row, history in enumerate(HISTORIES):
        parts = []
        for table in range(3):
            total = np.zeros(64)
            for place, item in enumerate(history):
                age = len(history) - 1 - place
                vector = tables.whole[table, item].double().numpy()
                unit = vector / (np.linalg.norm(vector) or 1.0)
                recency = late.latest.item() * (age == 0) - late.decay.item() * age
                total += exp(recency + late.bias.tolist()[item >= NUM_X]) * unit[:64]
            parts.append(total / (np.linalg.norm(total) or 1.0))
        np.testing.assert_allclose(vectors[row].numpy(), np.concatenate(parts), atol=1e-5)


def test_both_directions_share_their_tables_on_a_device_too() -> None:
    votes = vote_graphs(random_tables(), NUM_X, depth=4)
    moved = _moved(votes, torch.device("meta"), {})
    assert moved[0].nearest.tables is moved[1].nearest.tables
    assert moved[0].nearest.tables.whole.device.type == moved[1].nearest.row.device.type == "meta"


CONFIG = tiny()


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    write_run(tmp_path)
    return with_left_out(prepare(tmp_path, CONFIG, ALONE), load_blocks(tmp_path, seed=1), tmp_path, ALONE)


def gradients(prepared: Prepared, rows: np.ndarray, config: GraphConfig = CONFIG) -> dict[str, torch.Tensor | None]:
    objective = Objective(make_ranker(prepared, config, seed=0, device=ALONE.device), config)
    pad = graph_runs.NUM_ITEMS
    batch = make_batch(prepared.train, rows, max_history=6, pad=pad, device=ALONE.device)
    counts = count_terms(prepared.graphs, batch, config.loss)
    loss, _ = objective(prepared.graphs, batch, Noise(0, 0, batch.sample), counts)
    loss.backward()
    assert torch.isfinite(loss)
    return {name: weight.grad for name, weight in objective.named_parameters()}


def in_blocks(prepared: Prepared) -> np.ndarray:
    assert prepared.graphs.left_out is not None
    return np.flatnonzero(np.isin(prepared.train.sample, prepared.graphs.left_out.sample.numpy()))


@pytest.mark.parametrize("domains", [(0, 1), (0,), (1,), ()])
def test_every_weight_has_a_gradient_whichever_domains_a_rank_is_asked_for(
    prepared: Prepared, domains: tuple[int, ...]
) -> None:
    """DistributedDataParallel waits for the gradient of every weight."""
    rows = in_blocks(prepared)
    of_weight = gradients(prepared, rows[np.isin(prepared.train.domain[rows], domains)])
    assert [name for name, gradient in of_weight.items() if gradient is None] == []
    for domain in (0, 1):
        own = [gradient for name, gradient in of_weight.items() if name.startswith(f"ranker.late.{domain}.")]
        assert len(own) == 9
        assert all(bool(gradient.any()) == (domain in domains) for gradient in own if gradient is not None)


def test_where_there_is_nothing_to_learn_from_tables_that_know_the_target_teach_nothing(prepared: Prepared) -> None:
    told = replace(prepared, graphs=replace(prepared.graphs, left_out=None))
    of_weight = gradients(told, np.arange(20))
    assert [name for name, gradient in of_weight.items() if gradient is None] == []
    for name, gradient in of_weight.items():
        assert gradient is not None
        learns = name.startswith("ranker.evidence") and not name.endswith(".clock")  # the pair has no times
        assert bool(gradient.any()) == learns, name


def test_left_out_scores_are_each_rows_own_blocks(prepared: Prepared) -> None:
    graphs = prepared.graphs
    assert graphs.left_out is not None
    ranker = make_ranker(prepared, CONFIG, seed=0, device=ALONE.device)
    rows = np.random.default_rng(0).permutation(in_blocks(prepared))[:12]
    batch = make_batch(prepared.train, rows, max_history=6, pad=graphs.num_items, device=ALONE.device)
    block_B = graphs.left_out.block_of(batch.sample)
    assert len(set(block_B.tolist())) > 1
    with torch.no_grad():
        scores_BD = ranker.left_out_scores(graphs, batch, 1)
        for row in range(len(rows)):
            votes = graphs.left_out.votes[int(block_B[row])][1]
            assert torch.equal(scores_BD[row], ranker.late[1](votes, batch.history[[row]], graphs.num_items)[0])
