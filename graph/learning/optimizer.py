"""The optimizer of a ranker: Adam with decoupled decay, parameters in groups, rates as shares of their peaks."""

import torch

from graph.config import GraphConfig
from graph.learning.row_adam import ROWS, RowAdam
from graph.objective import Objective

BETAS = (0.9, 0.98)


def build_optimizer(objective: Objective, settings: GraphConfig) -> torch.optim.AdamW:
    """Adam with decoupled decay of tables and matrices; the few weights of evidence and late
    interaction have a rate of their own and no decay."""
    ranker, schedule = objective.ranker, settings.schedule
    evidence = [*ranker.evidence.parameters(), *ranker.late.parameters(), *ranker.blend.parameters()]
    tables = [] if ranker.model is None else [*ranker.model.tables.values(), ranker.model.attribute_table]
    by_rows = schedule.table_optimizer == "rows"
    heads = [*ranker.model.head] if ranker.model is not None and by_rows else []
    known = {id(weight) for weight in (*evidence, *tables, *heads)}
    others = [weight for weight in objective.parameters() if id(weight) not in known]
    trained = [w for w in tables if w.requires_grad]
    decay = schedule.weight_decay
    groups = [
        {"params": trained, "lr": schedule.lr * schedule.table_rate, "weight_decay": decay, ROWS: by_rows},
        {"params": heads, "lr": schedule.lr, "weight_decay": decay, ROWS: by_rows},
        {"params": [w for w in others if w.ndim > 1], "lr": schedule.lr, "weight_decay": decay},
        {"params": [w for w in others if w.ndim <= 1], "lr": schedule.lr, "weight_decay": 0.0},
        {"params": evidence, "lr": schedule.evidence_lr, "weight_decay": 0.0},
    ]
    chosen = [{**group, "peak": group["lr"]} for group in groups if group["params"]]
    return RowAdam(chosen, betas=BETAS, fused=True) if by_rows else torch.optim.AdamW(chosen, betas=BETAS)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Learning rates as a share of their peaks."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
