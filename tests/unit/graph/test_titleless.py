"""A catalogue whose items share no word: tables start from who has what, with a warning, and training works."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from evaluation.matrices import user_item_matrix
from graph.co_occurrence import co_occurrence_vectors
from graph.config import TABLES
from graph.load import make_ranker, prepare, text_path
from graph.pretrain import pretrain
from launch.tracking import Tracker
from pairs.tables import load_samples
from tests.graph_runs import ALONE, ATTENTION, NUM_ITEMS, tiny, write_run


def titleless(run_dir: Path) -> Path:
    write_run(run_dir)
    path = run_dir / "pair" / "items.parquet"
    pl.read_parquet(path).with_columns(title=pl.col("source_id"), attributes=pl.lit("")).write_parquet(path)
    return run_dir


def test_tables_start_from_who_has_what_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = tiny("best", **ATTENTION)
    with caplog.at_level(logging.WARNING, logger="graph.load"):
        prepared = prepare(titleless(tmp_path), settings, ALONE)
    assert [record.message[:27] for record in caplog.records] == ["no two items share a word: "]
    ranker = make_ranker(prepared, settings, seed=0, device=ALONE.device)
    start = ranker.attention.tables["S"].detach().numpy()[:NUM_ITEMS]
    bought = load_samples(tmp_path, "train")
    seen = np.bincount(np.append(bought.history, bought.target), minlength=NUM_ITEMS) > 0
    assert np.allclose(np.linalg.norm(start[seen], axis=1), 1.0, atol=1e-5)


def test_late_interaction_does_without_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="graph.load"):
        prepared = prepare(titleless(tmp_path), tiny(), ALONE)
    assert [record.message for record in caplog.records] == ["no two items share a word: the text says nothing"]
    assert prepared.graphs.votes is not None
    for domain in (0, 1):
        near = prepared.graphs.votes[domain].nearest.of(torch.arange(NUM_ITEMS))
        assert len(near.candidate) > 0
        assert not near.cosines[:, TABLES.index("words")].any()


def test_worded_pairs_are_not_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_run(tmp_path)
    with caplog.at_level(logging.WARNING, logger="graph.load"):
        prepare(tmp_path, tiny(), ALONE)
    assert caplog.records == []


def test_vectors_are_those_of_the_whole_decomposition(tmp_path: Path) -> None:
    write_run(tmp_path)
    train = load_samples(tmp_path, "train")
    bought = user_item_matrix(train, NUM_ITEMS).toarray()
    scaled = bought / np.sqrt(np.maximum(bought.sum(axis=0), 1))
    _, singular, right = np.linalg.svd(scaled, full_matrices=False)
    expected = (right.T * np.sqrt(singular))[:, :8]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = co_occurrence_vectors(user_item_matrix(train, NUM_ITEMS), dim=8, seed=0)
    assert vectors.shape == (NUM_ITEMS, 8)
    assert np.allclose(vectors @ vectors.T, expected @ expected.T, atol=0.02)


def test_pretraining_goes_through_and_exports(tmp_path: Path) -> None:
    pretrain(tiny(), run_dir=titleless(tmp_path), seed=7, world=ALONE, tracker=Tracker(None, "pretrain"))
    assert np.isfinite(np.load(text_path(tmp_path))).all()
    assert (tmp_path / "graph" / "model.safetensors").is_file()
