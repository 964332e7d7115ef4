"""What a graph model is made of, and the three presets: the paper's, the released code's, and our best."""

from dataclasses import dataclass, fields
from typing import Literal

PresetName = Literal["paper", "code", "best"]
EdgeWeight = Literal["count", "binary"]
Initial = Literal["normal", "text"]
Alignment = Literal["mse", "mmd"]


@dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """Every choice, made. `GraphConfig` explains each."""

    dim: int
    attribute_dim: int
    layers: int
    blocks: int
    dropout: float
    propagation_dropout: float
    max_history: int
    edge_weight: EdgeWeight
    drop_target_edges: bool
    initial: Initial
    init_scale: float
    tie_head: bool
    evidence: bool
    window: int
    max_companions: int
    predicted_positions: int | None
    next_item_weight: float
    target_weight: float
    fused_weight: float
    infomax_weight: float
    align_weight: float
    alignment: Alignment
    perturbation: float
    label_smoothing: float
    epochs: int
    patience: int
    global_batch: int
    lr: float
    table_rate: float
    evidence_lr: float
    weight_decay: float
    grad_clip: float
    checkpoint_every: int
    list_depth: int
    encode_batch: int

    def __post_init__(self) -> None:
        for name in ("dim", "attribute_dim", "max_history", "window", "max_companions", "epochs", "patience"):
            _check(getattr(self, name) >= 1, name, "must be at least 1", getattr(self, name))
        for name in ("layers", "global_batch", "checkpoint_every", "list_depth", "encode_batch", "blocks"):
            _check(getattr(self, name) >= 1, name, "must be at least 1", getattr(self, name))
        for name in ("lr", "evidence_lr", "init_scale", "grad_clip"):
            _check(getattr(self, name) > 0, name, "must be positive", getattr(self, name))
        for name in ("dropout", "propagation_dropout", "label_smoothing"):
            _check(0 <= getattr(self, name) < 1, name, "must be at least 0 and below 1", getattr(self, name))
        for name in ("next_item_weight", "target_weight", "fused_weight", "infomax_weight", "align_weight"):
            _check(getattr(self, name) >= 0, name, "must not be negative", getattr(self, name))
        _check(self.table_rate >= 0, "table_rate", "must not be negative", self.table_rate)
        _check(self.perturbation >= 0, "perturbation", "must not be negative", self.perturbation)
        _check(self.weight_decay >= 0, "weight_decay", "must not be negative", self.weight_decay)
        if self.next_item_weight + self.target_weight == 0:
            raise ValueError("graph.next_item_weight and graph.target_weight are both 0; one must be positive")
        last = self.predicted_positions
        _check(last is None or last >= 1, "predicted_positions", "must be at least 1, or null for all", last)
        _check(self.list_depth >= 20, "list_depth", "must be at least 20 (the metrics look that deep)", self.list_depth)


def _check(holds: bool, name: str, demand: str, value: object) -> None:
    if not holds:
        raise ValueError(f"graph.{name} {demand}, got {value}")


# arXiv 2406.03085, section 4 and the released code; what neither states is in docs/method.md#graph-model.
PAPER = GraphSettings(
    dim=128, attribute_dim=32, layers=1, blocks=2, dropout=0.2, propagation_dropout=0.2, max_history=30,
    edge_weight="count", drop_target_edges=True, initial="normal", init_scale=0.1, tie_head=False,
    evidence=False, window=30, max_companions=2000, predicted_positions=None,
    next_item_weight=1.0, target_weight=0.0, fused_weight=0.0, infomax_weight=0.3, align_weight=0.3, alignment="mse",
    perturbation=0.05, label_smoothing=0.0,
    epochs=10, patience=2, global_batch=64, lr=1e-3, table_rate=1.0, evidence_lr=2e-2, weight_decay=0.0, grad_clip=5.0,
    checkpoint_every=500, list_depth=200, encode_batch=256,
)  # fmt: skip
CODE = GraphSettings(
    **{field.name: getattr(PAPER, field.name) for field in fields(PAPER)}
    | {
        "dim": 328,
        "attribute_dim": 28,
        "predicted_positions": 10,
        "drop_target_edges": False,
        "init_scale": 1.0,
        "infomax_weight": 0.43,
        "align_weight": 1.43,
    }
)
BEST = GraphSettings(
    **{field.name: getattr(PAPER, field.name) for field in fields(PAPER)}
    | {
        "dim": 64,
        "initial": "text",
        "tie_head": True,
        "evidence": True,
        "table_rate": 0.0,
        "init_scale": 1.0,
        "propagation_dropout": 0.0,
        "epochs": 4,
        "next_item_weight": 0.0,
        "target_weight": 1.0,
        "fused_weight": 1.0,
        "infomax_weight": 0.0,
        "align_weight": 0.0,
    }
)
PRESETS: dict[PresetName, GraphSettings] = {"paper": PAPER, "code": CODE, "best": BEST}
