"""Training resumes to the bit, exports what it ranked, and refuses what cannot be."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evaluation.ranked_lists import read_lists
from graph.config import GraphConfig, PresetName
from graph.load import make_ranker, prepare
from graph.presets import PRESETS
from graph.pretrain import pretrain
from graph.ranking.full_ranking import Judge, target_ranks
from graph.ranking.infer import TrainedGraph
from graph.training import Trainer
from launch.artifacts import sha256_file
from launch.errors import InputError
from launch.steps import Reached
from launch.tracking import Tracker
from tests.graph_runs import ALONE, ATTENTION, NUM_ITEMS, NUM_X, changed, make_samples, tiny, write_run


def digests(run_dir: Path) -> dict[str, str]:
    files = [*(run_dir / "graph").rglob("*"), *(run_dir / "lists").rglob("*")]
    kept = [path for path in files if path.is_file() and "checkpoints" not in path.parts]
    return {path.relative_to(run_dir).as_posix(): sha256_file(path) for path in kept}


def run(run_dir: Path, config: GraphConfig) -> None:
    pretrain(config, run_dir=run_dir, seed=7, world=ALONE, tracker=Tracker(None, "pretrain"))


class KilledError(Exception):
    """Stands for kill -9 in one process: nothing after it runs."""


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("preset", ["best", "paper"])
@pytest.mark.parametrize("stop_at", [2, 5, 6])
def test_resume_equals_no_stop_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: PresetName, stop_at: int, times: bool
) -> None:
    monkeypatch.setattr("graph.learning.material.LEAST_SAMPLES", 5)
    config = tiny(preset, global_batch=8 if times else 16)
    for name in ("whole", "stopped"):
        write_run(tmp_path / name, times=times)
    run(tmp_path / "whole", config)
    save = Trainer.save

    def save_and_die(self: Trainer, reached: Reached) -> None:
        save(self, reached)
        if reached.step >= stop_at:
            raise KilledError

    monkeypatch.setattr(Trainer, "save", save_and_die)
    with pytest.raises(KilledError):
        run(tmp_path / "stopped", config)
    monkeypatch.setattr(Trainer, "save", save)
    run(tmp_path / "stopped", config)
    assert digests(tmp_path / "stopped") == digests(tmp_path / "whole")


def test_a_model_that_diverged_is_refused_before_anything_of_it_is_saved(tmp_path: Path) -> None:
    write_run(tmp_path)
    with pytest.raises(InputError, match=r"graph\.schedule\.lr"):
        run(tmp_path, tiny(lr=1e30, evidence_lr=1e30))
    assert not list((tmp_path / "graph").rglob("*.pt"))
    assert not list((tmp_path / "graph").rglob("best.safetensors"))


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_target_whose_score_is_no_number_stands_last(score: float) -> None:
    scores = torch.tensor([[0.5, score, 0.2]])
    rank = target_ranks(scores, torch.tensor([1]), torch.tensor([[9]]), range(3))
    assert rank.tolist() == [1.0 if score == math.inf else 3.0]
    others = target_ranks(torch.full((1, 3), math.nan), torch.tensor([1]), torch.tensor([[9]]), range(3))
    assert others.tolist() == [3.0]


def test_every_sample_of_every_split_has_vectors_and_lists(tmp_path: Path) -> None:
    splits = write_run(tmp_path)
    run(tmp_path, tiny())
    for split, samples in splits.items():
        folder = tmp_path / "graph" / "vectors"
        assert np.array_equal(np.load(folder / f"{split}_samples.npy"), samples.sample)
        for domain in "XY":
            vectors = np.load(folder / f"{split}_{domain}.npy", mmap_mode="r")
            assert vectors.shape == (len(samples), 24)  # three tables of 8
            assert vectors.dtype == np.float32
            assert np.isfinite(vectors).all()
        if split != "train":
            lists = read_lists(tmp_path / "lists" / f"graph_{split}.parquet")
            assert np.array_equal(lists.sample, samples.sample)
            in_y = lists.items >= NUM_X
            assert (in_y == (samples.domain == 1)[:, None])[lists.items >= 0].all()


def test_a_loaded_model_says_what_was_exported(tmp_path: Path) -> None:
    samples = write_run(tmp_path)["test"]
    run(tmp_path, tiny())
    trained = TrainedGraph.open(tmp_path, ALONE)
    written = read_lists(tmp_path / "lists" / "graph_test.parquet")
    row = 3
    history, domain = samples.history_of(row).tolist(), int(samples.domain[row])
    answer = trained.ask(history, domain, depth=5)
    expected = [item for item in written.items[row].tolist() if item >= 0 and item not in history][:5]
    assert answer.items.tolist() == expected
    vectors = np.load(tmp_path / "graph" / "vectors" / f"test_{'XY'[domain]}.npy")
    np.testing.assert_allclose(answer.vector, vectors[row], rtol=1e-4, atol=1e-5)


def test_a_user_without_history_is_answered(tmp_path: Path) -> None:
    write_run(tmp_path)
    run(tmp_path, tiny(epochs=1))
    answer = TrainedGraph.open(tmp_path, ALONE).ask([], 0, depth=5)
    assert len(set(answer.items.tolist())) == 5
    assert np.isfinite(answer.scores).all()


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    splits = write_run(tmp_path)
    config = tiny(epochs=4, patience=4)
    run(tmp_path, config)
    best = load_file(tmp_path / "graph" / "checkpoints" / "best.safetensors")
    final = load_file(tmp_path / "graph" / "model.safetensors")
    assert all(torch.equal(best[name], final[name]) for name in final)
    prepared = prepare(tmp_path, config, ALONE)
    ranker = make_ranker(prepared, config, seed=0, device=ALONE.device)
    ranker.load_state_dict(final)
    checkpoint = torch.load(sorted((tmp_path / "graph" / "checkpoints").glob("step-*.pt"))[-1], weights_only=True)
    metrics = Judge(ranker.eval(), prepared.graphs, config, ALONE).metrics(splits["valid"])
    assert metrics is not None
    assert metrics["mrr"] == checkpoint["reached"]["best_value"]


def test_target_ranks_match_a_slow_count() -> None:
    torch.manual_seed(0)
    scores = torch.randint(0, 6, (20, 16)).float()
    history = torch.randint(0, NUM_ITEMS + 1, (20, 5))
    target = torch.randint(NUM_X, NUM_ITEMS, (20,))
    ranks = target_ranks(scores, target, history, range(NUM_X, NUM_ITEMS)).tolist()
    for row in range(20):
        seen = set(history[row].tolist())
        own = float(scores[row, int(target[row]) - NUM_X])
        ahead = sum(float(scores[row, i]) >= own for i in range(16) if i + NUM_X not in seen)
        assert ranks[row] == (float("inf") if int(target[row]) in seen else ahead)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_trains_every_weight(tmp_path: Path, preset: PresetName) -> None:
    write_run(tmp_path, times=True)
    config = tiny(preset, alignment="mmd" if preset == "code" else "mse", epochs=1)
    prepared = prepare(tmp_path, config, ALONE)
    before = make_ranker(prepared, config, seed=7, device=ALONE.device).state_dict()
    run(tmp_path, config)
    after = load_file(tmp_path / "graph" / "model.safetensors")
    frozen = {name for name in after if "table" in name} if config.schedule.table_rate == 0 else set()
    same = {name for name in after if torch.equal(after[name], before[name])}
    assert same == frozen


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"dim": 0}, "graph.model.dim must be at least 1, got 0"),
        ({"lr": -1.0}, "graph.schedule.lr must be positive, got -1.0"),
        ({"dropout": 1.0}, "graph.model.dropout must be at least 0 and below 1, got 1.0"),
        ({"evidence": False}, "graph.loss.fused_weight needs graph.model.evidence=true"),
        ({"evidence": True, "fused_weight": 0.0}, "graph.model.evidence needs graph.loss.fused_weight above 0"),
        ({"next_item_weight": 0.0, "target_weight": 0.0}, "graph.loss.next_item_weight and target_weight are both 0"),
        ({"list_depth": 5}, "graph.list_depth must be at least 20"),
        ({"nearest": 0}, "graph.model.nearest must be at least 1, got 0"),
        ({"dim": 1025}, "graph.model.dim must be at most 1024 with encoder=late, got 1025"),
        ({"next_item_weight": 1.0}, "graph.loss.next_item_weight needs graph.model.encoder=attention; set it to 0"),
        ({"infomax_weight": 0.1}, "graph.loss.infomax_weight needs graph.model.encoder=attention; set it to 0"),
        ({"align_weight": 0.1}, "graph.loss.align_weight needs graph.model.encoder=attention; set it to 0"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(chosen: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        changed(PRESETS["best"], **chosen)


def test_what_late_interaction_is_bound_to_binds_no_attention() -> None:
    assert changed(PRESETS["best"], dim=1024).model.dim == 1024
    assert changed(PRESETS["best"], **ATTENTION, dim=2048, next_item_weight=1.0).model.dim == 2048


def test_a_trained_model_without_the_tables_that_it_learnt_with_is_refused(tmp_path: Path) -> None:
    """Made anew, on another machine, they could be others in their last bits."""
    write_run(tmp_path)
    run(tmp_path, tiny(epochs=1))
    (tmp_path / "graph" / "item_tables.npy").unlink()
    with pytest.raises(InputError, match=r"item_tables\.npy: no such file; run `kinrec pretrain` first"):
        TrainedGraph.open(tmp_path, ALONE)


def test_late_interaction_alone_is_a_model_too(tmp_path: Path) -> None:
    write_run(tmp_path)
    run(tmp_path, tiny(evidence=False, fused_weight=0.0))
    assert {path.stem for path in (tmp_path / "lists").iterdir()} == {"graph_valid", "graph_test"}
    assert all(name.startswith("late.") for name in load_file(tmp_path / "graph" / "model.safetensors"))
    answer = TrainedGraph.open(tmp_path, ALONE).ask([2, 20], 1, depth=5)
    assert np.isfinite(answer.scores).all()


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    import polars as pl

    from tests.pair_files import write_pair

    items = pl.read_parquet(tmp_path / "pair" / "items.parquet").drop("train_count")
    few = make_samples([(0, [1], 2)])
    users = pl.DataFrame({"user": [0], "source_id": ["U"]})
    write_pair(tmp_path / "pair", items=items, users=users, samples={"train": few, "valid": few, "test": few})
    with pytest.raises(InputError, match="too few"):
        run(tmp_path, tiny())
