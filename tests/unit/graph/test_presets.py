"""The presets, value by value: what the paper states, what the released code does, what is ours (docs/method.md)."""

from pathlib import Path

import pytest
import yaml

from graph.config import GraphConfig, PresetName
from graph.presets import PRESETS
from launch.config import load_recipe
from launch.errors import InputError
from launch.options.fields import deciding, values

# key: paper, code, best
TABLE: dict[str, tuple[object, object, object]] = {
    "model.encoder": ("attention", "attention", "late"),
    "model.dim": (128, 328, 512),
    "model.nearest": (100, 100, 100),
    "model.late_words": (True, True, True),
    "model.attribute_dim": (32, 28, 32),
    "model.layers": (1, 1, 1),
    "model.blocks": (2, 2, 2),
    "model.dropout": (0.2, 0.2, 0.2),
    "model.propagation_dropout": (0.2, 0.2, 0.2),
    "model.max_history": (30, 30, 30),
    "model.edge_weight": ("count", "count", "count"),
    "model.item_graphs": (True, True, True),
    "model.attribute_graph": (True, True, True),
    "model.drop_target_edges": (True, False, True),
    "model.initial": ("normal", "normal", "normal"),
    "model.init_scale": (0.1, 1.0, 0.1),
    "model.tie_head": (False, False, False),
    "model.evidence": (False, False, True),
    "model.evidence_near": (True, True, True),
    "model.evidence_words": (True, True, True),
    "model.evidence_floor": (True, True, True),
    "model.evidence_time": (True, True, True),
    "model.window": (30, 30, 30),
    "model.max_companions": (2000, 2000, 2000),
    "loss.predicted_positions": (0, 10, 0),
    "loss.next_item_weight": (1.0, 1.0, 0.0),
    "loss.target_weight": (0.0, 0.0, 1.0),
    "loss.fused_weight": (0.0, 0.0, 1.0),
    "loss.infomax_weight": (0.3, 0.43, 0.0),
    "loss.align_weight": (0.3, 1.43, 0.0),
    "loss.alignment": ("mse", "mse", "mse"),
    "train_lists": (None, None, None),
    "held_out_lists": (None, None, None),
    "loss.infomax_share": (1.0, 1.0, 1.0),
    "loss.perturbation": (0.05, 0.05, 0.05),
    "loss.label_smoothing": (0.0, 0.0, 0.0),
    "loss.sampled_negatives": (2048, 2048, 2048),
    "loss.sampled_candidates": (1024, 1024, 1024),
    "loss.full_softmax_items": (50_000, 50_000, 50_000),
    "loss.twins": ("both", "both", "both"),
    "schedule.epochs": (10, 10, 4),
    "schedule.patience": (2, 2, 2),
    "schedule.global_batch": (64, 64, 64),
    "schedule.lr": (1e-3, 1e-3, 1e-3),
    "schedule.table_rate": (1.0, 1.0, 1.0),
    "schedule.table_optimizer": ("dense", "dense", "dense"),
    "schedule.precision": ("float32", "float32", "float32"),
    "schedule.evidence_lr": (2e-2, 2e-2, 2e-2),
    "schedule.weight_decay": (0.0, 0.0, 0.0),
    "schedule.grad_clip": (5.0, 5.0, 5.0),
    "schedule.valid_samples": (20_000, 20_000, 20_000),
    "schedule.checkpoint_every": (500, 500, 500),
    "schedule.checkpoint_minutes": (30.0, 30.0, 30.0),
    "ranking": ("auto", "auto", "auto"),
    "list_depth": (200, 200, 200),
    "encode_batch": (256, 256, 256),
    "memory_gib": (1.0, 1.0, 1.0),
}


@pytest.mark.parametrize(("place", "preset"), enumerate(["paper", "code", "best"]))
def test_a_preset_is_its_column_of_the_table(tmp_path: Path, place: int, preset: PresetName) -> None:
    expected = {key: columns[place] for key, columns in TABLE.items()} | {"preset": preset}
    assert dict(values(PRESETS[preset])) == expected
    path = tmp_path / "mine.yaml"
    path.write_text(f"graph: {{preset: {preset}}}", encoding="utf-8")
    assert dict(values(load_recipe(path).sections["graph"])) == expected


def test_there_are_three_presets() -> None:
    assert list(PRESETS) == ["best", "paper", "code"]


def graph_of(tmp_path: Path, text: str, *overrides: str) -> GraphConfig:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    config = load_recipe(path, overrides).sections["graph"]
    assert isinstance(config, GraphConfig)
    return config


def test_a_recipe_that_names_no_preset_starts_from_best(tmp_path: Path) -> None:
    assert graph_of(tmp_path, "seed: 1") == PRESETS["best"]


def test_a_recipes_keys_are_laid_onto_its_preset(tmp_path: Path) -> None:
    chosen = graph_of(tmp_path, "graph: {preset: code, model: {dim: 16}}", "--graph.loss.infomax_weight=0.5")
    assert (chosen.model.dim, chosen.model.attribute_dim) == (16, 28)
    assert (chosen.loss.infomax_weight, chosen.loss.align_weight) == (0.5, 1.43)
    assert graph_of(tmp_path, "graph: {preset: code}", "--graph.preset=paper") == PRESETS["paper"]


def test_what_is_recorded_is_the_values_and_not_the_presets_name(tmp_path: Path) -> None:
    recorded = deciding(graph_of(tmp_path, "graph: {preset: best}"))
    assert recorded["model"]["dim"] == 512
    assert recorded["schedule"]["epochs"] == 4
    unset = [name for name, value in values(PRESETS["best"]) if value is None]
    assert unset == ["train_lists", "held_out_lists"], "all, no preset's"
    assert "preset" not in recorded


@pytest.mark.parametrize("preset", PRESETS)
def test_a_resolved_recipe_says_everything_and_stays_what_it_is(tmp_path: Path, preset: PresetName) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"graph: {{preset: {preset}, schedule: {{epochs: 3}}}}", encoding="utf-8")
    first = load_recipe(path)
    path.write_text(yaml.safe_dump(first.resolved()), encoding="utf-8")
    assert "init_scale:" in path.read_text(encoding="utf-8")
    assert load_recipe(path).resolved() == first.resolved()


@pytest.mark.parametrize(
    ("old", "new"), [("epochs", "schedule.epochs"), ("dim", "model.dim"), ("infomax_weight", "loss.infomax_weight")]
)
def test_a_key_of_the_flat_section_is_refused_with_its_new_name(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(InputError, match=rf"unknown key graph\.{old}; did you mean graph\.{new}\?"):
        graph_of(tmp_path, f"graph: {{{old}: 1}}")
    with pytest.raises(InputError, match=rf"did you mean graph\.{new}\?"):
        graph_of(tmp_path, "seed: 1", f"--graph.{old}=1")


def test_a_preset_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"graph\.preset must be one of paper, code, best, got bets"):
        graph_of(tmp_path, "graph: {preset: bets}")
