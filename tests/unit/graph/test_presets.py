"""The presets, value by value: what the paper states, what the released code does, what is ours (docs/method.md)."""

import dataclasses

import pytest

from graph.config import GraphConfig, resolve
from graph.presets import PRESETS, PresetName

# key: paper, code, best
TABLE: dict[str, tuple[object, object, object]] = {
    "dim": (128, 328, 64),
    "attribute_dim": (32, 28, 32),
    "layers": (1, 1, 1),
    "blocks": (2, 2, 2),
    "dropout": (0.2, 0.2, 0.2),
    "propagation_dropout": (0.2, 0.2, 0.0),
    "max_history": (30, 30, 30),
    "edge_weight": ("count", "count", "count"),
    "drop_target_edges": (True, False, True),
    "initial": ("normal", "normal", "text"),
    "init_scale": (0.1, 1.0, 1.0),
    "tie_head": (False, False, True),
    "evidence": (False, False, True),
    "window": (30, 30, 30),
    "max_companions": (2000, 2000, 2000),
    "predicted_positions": (None, 10, None),
    "next_item_weight": (1.0, 1.0, 0.0),
    "target_weight": (0.0, 0.0, 1.0),
    "fused_weight": (0.0, 0.0, 1.0),
    "infomax_weight": (0.3, 0.43, 0.0),
    "align_weight": (0.3, 1.43, 0.0),
    "alignment": ("mse", "mse", "mse"),
    "perturbation": (0.05, 0.05, 0.05),
    "label_smoothing": (0.0, 0.0, 0.0),
    "epochs": (10, 10, 4),
    "patience": (2, 2, 2),
    "global_batch": (64, 64, 64),
    "lr": (1e-3, 1e-3, 1e-3),
    "table_rate": (1.0, 1.0, 0.0),
    "evidence_lr": (2e-2, 2e-2, 2e-2),
    "weight_decay": (0.0, 0.0, 0.0),
    "grad_clip": (5.0, 5.0, 5.0),
    "checkpoint_every": (500, 500, 500),
    "list_depth": (200, 200, 200),
    "encode_batch": (256, 256, 256),
}


@pytest.mark.parametrize(("place", "preset"), enumerate(["paper", "code", "best"]))
def test_a_preset_is_its_column_of_the_table(place: int, preset: PresetName) -> None:
    settings = dataclasses.asdict(resolve(GraphConfig(preset=preset)))
    assert settings == {key: values[place] for key, values in TABLE.items()}


def test_there_are_three_presets() -> None:
    assert list(PRESETS) == ["paper", "code", "best"]
