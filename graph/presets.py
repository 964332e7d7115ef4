"""The presets of a graph model: the paper's, the released code's, and our best, each as it differs from the paper's."""

from dataclasses import replace

from graph.config import GraphConfig, PresetName

PAPER = GraphConfig(preset="paper")
CODE = replace(
    PAPER,
    preset="code",
    model=replace(PAPER.model, dim=328, attribute_dim=28, drop_target_edges=False, init_scale=1.0),
    loss=replace(PAPER.loss, predicted_positions=10, infomax_weight=0.43, align_weight=1.43),
)
BEST = replace(
    PAPER,
    preset="best",
    model=replace(PAPER.model, encoder="late", dim=512, evidence=True),
    loss=replace(
        PAPER.loss, next_item_weight=0.0, target_weight=1.0, fused_weight=1.0, infomax_weight=0.0, align_weight=0.0
    ),
    schedule=replace(PAPER.schedule, epochs=4),
)
PRESETS: dict[PresetName, GraphConfig] = {"best": BEST, "paper": PAPER, "code": CODE}
"""By name; a recipe that names none starts from the first."""
