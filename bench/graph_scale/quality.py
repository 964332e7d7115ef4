"""The same training twice, with the full softmax and with a sampled one; what valid and test say of both."""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from graph.config import GraphConfig
from graph.load import load_blocks, make_ranker, prepare, with_left_out
from graph.objective import Objective
from graph.training import Trainer
from launch.distributed import World
from launch.tracking import Tracker
from pairs.tables import load_samples

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """One training's end."""

    valid_hr10: float
    test_hr10: float
    test_mrr: float
    seconds: float


def train_both(run_dir: Path, settings: GraphConfig, *, seed: int, world: World) -> tuple[Trained, Trained]:
    """(full, sampled). The run folder has a pair; graphs and left-out tables are made once, for both."""
    prepared = prepare(run_dir, settings, world)
    prepared = with_left_out(prepared, load_blocks(run_dir, seed=seed), run_dir, world)

    def trained(name: str, config: GraphConfig) -> Trained:
        objective = Objective(make_ranker(prepared, config, seed=seed, device=world.device), config)
        folder = run_dir / "bench" / name
        tracker = Tracker(None, "bench")
        trainer = Trainer(
            objective, prepared.graphs, config, seed=seed, folder=folder, world=world, tracker=tracker
        )  # fmt: skip
        started = time.monotonic()
        trainer.fit(prepared.train, load_samples(run_dir, "valid"))
        seconds = time.monotonic() - started
        objective.eval()
        valid, test = (trainer.judged_by.metrics(load_samples(run_dir, split)) for split in ("valid", "test"))
        assert valid is not None
        assert test is not None
        result = Trained(valid["hr@10"], test["hr@10"], test["mrr"], seconds)
        log.info("%s: %s", name, result)
        return result

    full = replace(settings, loss=replace(settings.loss, sampled_negatives=0))
    sampled = replace(settings, loss=replace(settings.loss, full_softmax_items=0))
    assert sampled.loss.sampled_negatives > 0
    return trained("full", full), trained("sampled", sampled)
