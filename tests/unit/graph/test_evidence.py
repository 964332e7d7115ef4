"""Evidence against a slow formula; a train user's own counts are out of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.graph_reference import looped_companions
from graph.build import build_graphs
from graph.evidence import Evidence, EvidenceGraph, gather_companions
from graph.words import read_words, text_vectors
from pairs.tables import Samples, load_pair
from tests.graph_runs import NUM_ITEMS, NUM_X, make_rows, make_samples, tiny, write_run

PAD = NUM_ITEMS


def evidence_graph(run_dir: Path, train: Samples, domain: int = 1) -> EvidenceGraph:
    items = load_pair(run_dir).items
    words = read_words(items)
    text = text_vectors(words.tfidf, 8, seed=0)
    graphs = build_graphs(train, items, words, text, tiny(window=4))
    assert graphs.evidence is not None
    return graphs.evidence[domain]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    write_run(tmp_path)
    return tmp_path


def perturbed() -> Evidence:
    torch.manual_seed(0)
    evidence = Evidence()
    with torch.no_grad():
        for weight in evidence.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return evidence


def slow_near(run_dir: Path, train: Samples, evidence: Evidence, history: list[int], candidate: int) -> float:
    """`near` of the module's docstring, by loops."""
    items = load_pair(run_dir).items
    text = text_vectors(read_words(items).tfidf, 8, seed=0)
    users_of: dict[int, set[int]] = {}
    for row in range(len(train)):
        for item in [*train.history_of(row).tolist(), int(train.target[row])]:
            users_of.setdefault(item, set()).add(int(train.user[row]))
    total = 0.0
    for place, item in enumerate(history):
        age = len(history) - 1 - place
        same = int((item >= NUM_X) == (candidate >= NUM_X))
        shared = sum(
            float(evidence.gap[gap].exp())
            for gap in looped_companions(train, window=4).users.get((item, candidate), {}).values()
        )
        if shared == 0:
            continue
        log = float(evidence.latest) * (age == 0) - float(evidence.decay) * age + float(evidence.bias[same])
        log += float(evidence.kind[same]) * float(text[item] @ text[candidate])
        users = max(1, len(users_of.get(item, ())))
        total += np.exp(log) * users ** -float(evidence.fade[same]) * shared ** float(evidence.power[same])
    return total


def test_near_matches_loops(run_dir: Path) -> None:
    train = make_samples(make_rows(np.random.default_rng(5), range(12)))
    evidence, graph = perturbed(), evidence_graph(run_dir, train)
    history = [1, 20, 3, 25]
    gathered = gather_companions(graph, torch.tensor([[PAD, PAD, *history]]), None)
    scores = evidence.near(graph, 1, gathered)[0]
    for candidate in range(NUM_X, NUM_ITEMS):
        expected = slow_near(run_dir, train, evidence, history, candidate)
        assert float(scores[candidate - NUM_X]) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_own_samples_leave_no_trace(run_dir: Path) -> None:
    """Scores of a train user equal those of a graph that was built without that user."""
    rows = make_rows(np.random.default_rng(6), range(1, 14))
    train, evidence = make_samples(rows), perturbed()
    whole = evidence_graph(run_dir, train)
    for user in (1, 6, 13):
        without = evidence_graph(run_dir, make_samples([row for row in rows if row[0] != user]))
        history = next(history for owner, history, _ in rows if owner == user)[-6:]
        history_1L = torch.tensor([[PAD] * (6 - len(history)) + history])
        with torch.no_grad():
            scores = evidence(whole, history_1L, torch.tensor([user]))
            expected = evidence(without, history_1L, None)
        torch.testing.assert_close(scores, expected)


def test_words_are_the_weighted_mean_cosine(run_dir: Path) -> None:
    train, evidence = make_samples(make_rows(np.random.default_rng(5), range(12))), perturbed()
    tfidf = read_words(load_pair(run_dir).items).tfidf.toarray()
    history = [1, 20, 25]
    weights = [
        float(torch.exp(-evidence.text_decay * (2 - place) + evidence.text_bias * (item < NUM_X)))
        for place, item in enumerate(history)
    ]
    mean = sum(weight * tfidf[item] for weight, item in zip(weights, history, strict=True)) / sum(weights)
    scores = evidence.words(evidence_graph(run_dir, train), torch.tensor([[PAD, *history]]))[0]
    torch.testing.assert_close(scores, torch.from_numpy(tfidf[NUM_X:] @ mean), rtol=1e-4, atol=1e-5)


def test_an_empty_history_is_scored_by_popularity(run_dir: Path) -> None:
    train = make_samples(make_rows(np.random.default_rng(5), range(12)))
    graph = evidence_graph(run_dir, train)
    with torch.no_grad():
        scores = Evidence()(graph, torch.full((1, 6), PAD), None)[0]
    popular = graph.num_users[NUM_X:NUM_ITEMS]
    assert torch.isfinite(scores).all()
    assert torch.equal(scores.argsort(stable=True), popular.argsort(stable=True))
