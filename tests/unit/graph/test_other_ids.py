"""Other numbers for all items of each domain change nothing of what evidence says of an item."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.metrics.ranks import batches, target_ranks
from graph.build import build_graphs
from graph.evidence import Evidence
from graph.words import read_words, text_vectors
from pairs.tables import Items, Samples, load_pair
from tests.graph_runs import NUM_ITEMS, NUM_X, make_rows, make_samples, tiny, write_run


def scores_of(train: Samples, asked: Samples, items: Items, *, domain: int) -> NDArray[np.float32]:
    """[N, C] of untrained evidence."""
    words = read_words(items)
    graphs = build_graphs(train, items, words, text_vectors(words.tfidf, 8, seed=0), tiny(window=4))
    assert graphs.evidence is not None
    with torch.no_grad():
        scores: NDArray[np.float32] = Evidence()(
            graphs.evidence[domain], torch.from_numpy(asked.recent(8, items.pad)), None
        ).numpy()
    return scores


def renumbered(samples: Samples, new_id: NDArray[np.int64]) -> Samples:
    return dataclasses.replace(samples, target=new_id[samples.target], history=new_id[samples.history])


def test_evidence_gives_an_item_its_score_and_a_target_its_rank_under_any_ids(tmp_path: Path) -> None:
    write_run(tmp_path)
    items, random = load_pair(tmp_path).items, np.random.default_rng(7)
    train = make_samples(make_rows(np.random.default_rng(5), range(40)))
    asked = make_samples(make_rows(np.random.default_rng(6), range(50, 70)))
    new_id = np.concatenate([random.permutation(NUM_X), NUM_X + random.permutation(NUM_ITEMS - NUM_X)])
    old_id = np.argsort(new_id)
    source_ids, titles, attributes = (
        [texts[old] for old in old_id] for texts in (items.source_ids, items.titles, items.attributes)
    )
    other_items = Items(items.domain, source_ids, titles, attributes, items.train_count[old_id])
    for batch in batches(asked, items):
        ids = items.ids(batch.domain)
        scores_BC = scores_of(train, batch.samples, items, domain=batch.domain)
        other = renumbered(batch.samples, new_id)
        other_BC = scores_of(renumbered(train, new_id), other, other_items, domain=batch.domain)
        column_C = new_id[ids.start : ids.stop] - ids.start
        np.testing.assert_allclose(other_BC[:, column_C], scores_BC, rtol=1e-3, atol=1e-4)
        other_batch = dataclasses.replace(batch, samples=other)
        ranks, other_ranks = target_ranks(scores_BC, batch), target_ranks(other_BC, other_batch)
        assert np.abs(1 / ranks - 1 / other_ranks).mean() < 0.01
