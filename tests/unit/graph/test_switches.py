"""The parts of the graph stage that a recipe may leave out: without them nothing of them is in the scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graph.batches import make_batch
from graph.build import Graphs, build_graphs
from graph.config import GraphConfig, ModelConfig
from graph.evidence import Evidence, EvidenceGraph, gather_companions
from graph.late.nearest import Near
from graph.load import Source, load_blocks, make_ranker, prepare, with_left_out
from graph.noise import Noise
from graph.objective import Objective, count_terms
from graph.pretrain import pretrain
from graph.words import read_words, text_vectors
from launch.tracking import Tracker
from pairs.history_keys import one_of_twins
from pairs.tables import Samples, load_pair, load_samples
from tests.distributed.optimizer_watch import watch_optimizers
from tests.graph_runs import ALONE, ATTENTION, NUM_ITEMS, NUM_X, make_rows, make_samples, tiny, write_run

PAD = NUM_ITEMS
TERMS = ("evidence_near", "evidence_words", "evidence_floor")
HISTORIES = torch.tensor([[PAD, PAD, 1, 20, 3, 25], [PAD] * 6])


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    write_run(tmp_path)
    return tmp_path


def graphs_of(run_dir: Path, config: GraphConfig) -> Graphs:
    items, train = load_pair(run_dir).items, make_samples(make_rows(np.random.default_rng(5), range(12)))
    words = read_words(items)
    return build_graphs(train, items, words, text_vectors(words.tfidf, 8, seed=0), config)


def evidence_graph(run_dir: Path, *absent: str) -> EvidenceGraph:
    graphs = graphs_of(run_dir, tiny("best", window=4, **dict.fromkeys(absent, False)))
    assert graphs.evidence is not None
    return graphs.evidence[1]


def test_item_graphs_without_edges_hand_nothing_on(run_dir: Path) -> None:
    table = torch.randn(NUM_ITEMS, 8)
    for name in ("mixed", "within"):
        there, absent = (
            getattr(graphs_of(run_dir, tiny("best", **ATTENTION, item_graphs=chosen)), name) for chosen in (True, False)
        )
        assert there.neighbour_mean(table).abs().sum() > 0
        assert torch.equal(absent.neighbour_mean(table), torch.zeros_like(table))
        assert (absent.own_weight(torch.arange(4), torch.arange(1, 5)) == 0).all()


def test_an_attribute_graph_without_edges_hands_nothing_on_and_has_its_nodes(run_dir: Path) -> None:
    there, absent = (graphs_of(run_dir, tiny("best", **ATTENTION, attribute_graph=chosen)) for chosen in (True, False))
    assert there.num_attributes == absent.num_attributes > 0
    table = torch.randn(NUM_ITEMS + there.num_attributes, 4)
    assert there.attributes.neighbour_mean(table).abs().sum() > 0
    assert torch.equal(absent.attributes.neighbour_mean(table), torch.zeros_like(table))


def test_late_interaction_has_no_graphs_to_propagate_over(run_dir: Path) -> None:
    attention, late = (graphs_of(run_dir, tiny("best", **chosen)) for chosen in (ATTENTION, {}))
    for graphs, has_edges in ((attention, True), (late, False)):
        for graph in (graphs.mixed, graphs.within):
            assert (graph.neighbour_mean(torch.ones(NUM_ITEMS, 2)) != 0).any() == has_edges
        nodes = torch.ones(NUM_ITEMS + graphs.num_attributes, 2)
        assert (graphs.attributes.neighbour_mean(nodes) != 0).any() == has_edges


def near_of(evidence: Evidence, graph: EvidenceGraph) -> torch.Tensor:
    return evidence.near(graph, len(HISTORIES), gather_companions(graph, HISTORIES, None))


def test_each_term_that_is_left_out_is_not_in_the_score(run_dir: Path) -> None:
    evidence, whole = Evidence(), evidence_graph(run_dir)
    users = whole.num_users[NUM_X:NUM_ITEMS]
    with torch.no_grad():
        near, words = near_of(evidence, whole), evidence.words(whole, HISTORIES)
        alike = evidence.mix.exp() * (words.clamp_min(0) + 1e-6) ** evidence.bend
        floor = evidence.floor.exp() * (users + 0.1) ** evidence.popularity
        expected = {
            (): evidence.gain * (near + alike + floor).log() + evidence.likeness * words,
            ("evidence_near",): evidence.gain * (alike + floor).log() + evidence.likeness * words,
            ("evidence_words",): evidence.gain * (near + floor).log(),
            ("evidence_floor",): evidence.gain * (near + alike + 1e-6).log() + evidence.likeness * words,
            ("evidence_words", "evidence_floor"): evidence.gain * (near + 1e-6).log(),
        }
        for absent, scores in expected.items():
            torch.testing.assert_close(evidence(evidence_graph(run_dir, *absent), HISTORIES, None), scores)


def test_with_all_terms_the_score_is_to_the_bit_what_it_was(run_dir: Path) -> None:
    evidence, graph = Evidence(), evidence_graph(run_dir)
    with torch.no_grad():
        words = evidence.words(graph, HISTORIES)
        floor = evidence.floor.exp() * (graph.num_users[NUM_X:NUM_ITEMS] + 0.1) ** evidence.popularity
        near = near_of(evidence, graph)
        mixed = near + evidence.mix.exp() * (words.clamp_min(0) + 1e-6) ** evidence.bend + floor
        assert torch.equal(evidence(graph, HISTORIES, None), evidence.gain * mixed.log() + evidence.likeness * words)


def nearest_of_all(source: Source, known: Samples) -> Near:
    votes = source.graphs_of(known).votes
    assert votes is not None
    return votes[1].nearest.of(torch.arange(NUM_ITEMS))


@pytest.mark.parametrize("late_words", [True, False])
def test_votes_without_a_table_of_words_know_nothing_of_the_words(run_dir: Path, late_words: bool) -> None:
    prepared = prepare(run_dir, tiny("best", nearest=3, late_words=late_words), ALONE)
    source = prepared.source
    own = nearest_of_all(source, prepared.train)
    others = nearest_of_all(replace(source, start=np.roll(source.start, 1, axis=0)), prepared.train)
    assert (own.cosines[:, 2] > 0).any() == late_words
    assert (own.cosines[:, :2] > 0).any(dim=0).all(), "who has what says something all the same"
    same = [torch.equal(getattr(own, name), getattr(others, name)) for name in ("entry", "candidate", "cosines")]
    assert all(same) is not late_words


@pytest.mark.parametrize(
    ("absent", "encoder"),
    [
        *((absent, ATTENTION) for absent in (*TERMS, "item_graphs", "attribute_graph")),
        *((absent, {}) for absent in (*TERMS, "late_words")),
    ],
)
def test_what_is_left_out_leaves_every_weight_a_gradient(
    run_dir: Path, absent: str, encoder: dict[str, object]
) -> None:
    """DistributedDataParallel waits for the gradient of every weight."""
    next_item_weight = 1.0 if encoder else 0.0
    config = tiny("best", table_rate=1.0, next_item_weight=next_item_weight, **encoder, **{absent: False})
    prepared = prepare(run_dir, config, ALONE)
    if not encoder:
        prepared = with_left_out(prepared, load_blocks(run_dir, seed=0), run_dir, ALONE)
    objective = Objective(make_ranker(prepared, config, seed=0, device=ALONE.device), config)
    batch = make_batch(prepared.train, np.arange(16), max_history=6, pad=PAD, device=ALONE.device)
    counts = count_terms(prepared.graphs, batch, config.loss)
    loss, _ = objective(prepared.graphs, batch, Noise(0, 0, batch.sample), counts)
    loss.backward()
    assert [name for name, weight in objective.named_parameters() if weight.grad is None] == []
    assert all(torch.isfinite(weight.grad).all() for weight in objective.parameters() if weight.grad is not None)


def test_an_evidence_without_any_term_is_refused() -> None:
    with pytest.raises(ValueError, match=r"graph\.model\.evidence needs one of evidence_near"):
        ModelConfig(evidence=True, evidence_near=False, evidence_words=False, evidence_floor=False)
    ModelConfig(evidence=False, evidence_near=False, evidence_words=False, evidence_floor=False)


def test_one_of_a_users_samples_of_one_history_is_drawn() -> None:
    rows = [(1, [2, 3], 4), (1, [2, 3], 20), (1, [2, 3, 4], 20), (2, [2, 3], 5), (3, [], 1), (3, [], 20)]
    samples = make_samples(rows, first=100)
    drawn = [one_of_twins(samples, seed=seed).sample.tolist() for seed in range(20)]
    assert all(sorted(ids) == ids and len(ids) == 4 and {102, 103} < set(ids) for ids in drawn)
    assert {ids[0] for ids in drawn} == {100, 101}
    assert {ids[-1] for ids in drawn} == {104, 105}
    assert drawn[3] == one_of_twins(samples, seed=3).sample.tolist()


@pytest.mark.parametrize("encoder", ["attention", "late"])
def test_twins_are_learnt_from_once_and_known_all_the_same(tmp_path: Path, encoder: str) -> None:
    steps = {}
    for twins in ("both", "one"):
        write_run(tmp_path / twins)
        with watch_optimizers() as watch:
            config = tiny(encoder=encoder, twins=twins, epochs=1)
            pretrain(config, run_dir=tmp_path / twins, seed=7, world=ALONE, tracker=Tracker(None, "pretrain"))
        steps[twins] = len(watch.rates)
    both = load_samples(tmp_path / "one", "train")
    one = one_of_twins(both, seed=7)
    assert len(one) <= len(both) - 8
    assert steps == {"both": len(both) // 16, "one": len(one) // 16}
    listed = [(tmp_path / twins / "lists" / "evidence_untrained_test.parquet").read_bytes() for twins in steps]
    assert listed[0] == listed[1], "the graphs are of all samples"
