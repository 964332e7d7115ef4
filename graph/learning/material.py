"""What the ranker learns from: all of train or, where the split is one of time, its last part alone, asked with what
was known before it.

The graphs of all of train know what came after a sample. Who learns from them trusts what goes together more, and what
sells of late less, than the past bears out. So the evidence learns as it will be asked: its graphs end where the
samples that it learns from begin.
"""

import dataclasses
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.list_ranker.blocks import TIME_BLOCKS, TIME_SHARE, is_chronological
from evaluation.list_ranker.knowledge import age_before_test
from graph.batches import steps_of_epoch
from graph.build import Graphs
from graph.clock import asked_earlier
from graph.companions.kept import CompanionPlace
from graph.config import GraphConfig
from graph.load import TABLES_OF_PARTS, Prepared
from launch.distributed import World
from pairs.known import as_of, load_others, with_others
from pairs.tables import Samples, load_samples

LATEST_SHARE = TIME_SHARE * TIME_BLOCKS
"""Of the train samples, by time: those that late interaction's blocks are of."""
LEAST_SAMPLES = 500
"""In that part; of fewer two dozen weights for each domain are not learnt well, and all of train teaches."""
LEAST_STEPS = 50
"""Of an epoch: in fewer the weights do not get far from where they start."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LearningMaterial:
    """Samples, and the graphs that they ask."""

    samples: Samples
    graphs: Graphs
    passes: int = 1
    """Over the samples in an epoch."""


def with_passes(settings: GraphConfig, passes: int) -> GraphConfig:
    """The settings where each pass is an epoch by itself: valid is judged after it, and patience lasts as many."""
    schedule = settings.schedule
    longer = dataclasses.replace(schedule, epochs=schedule.epochs * passes, patience=schedule.patience * passes)
    return dataclasses.replace(settings, schedule=longer)


def learning_material(prepared: Prepared, run_dir: Path, world: World, *, seed: int) -> LearningMaterial:
    """Of a run; a collective.

    Encoders of attention have tables to learn, and learn from all of train. On a split of time they ask the evidence
    what sold as of moments before their targets' own, for so it will be asked.
    """
    train, valid, test = prepared.train, load_samples(run_dir, "valid"), load_samples(run_dir, "test")
    model = prepared.source.settings.model
    whole = LearningMaterial(train, prepared.graphs)
    if not model.evidence or not is_chronological(train, valid, test):
        return whole
    latest = _latest(prepared, run_dir, world) if model.encoder == "late" else None
    if latest is not None:
        return latest
    return dataclasses.replace(whole, samples=asked_earlier(train, age_before_test(train, valid), seed=seed))


def _latest(prepared: Prepared, run_dir: Path, world: World) -> LearningMaterial | None:
    """The last part of train over graphs of what was known before it; None where it holds too few."""
    train, others = prepared.train, load_others(run_dir)
    assert train.target_time is not None
    cut = int(np.quantile(train.target_time, 1 - LATEST_SHARE, method="lower"))
    rows = np.flatnonzero(train.target_time > cut)
    known = with_others(as_of(train, cut), others)
    if len(rows) < LEAST_SAMPLES or len(known) == 0:
        log.info("%d samples of the last %g of train are too few to learn from alone", len(rows), LATEST_SHARE)
        return None
    log.info("learning from the last %d of %d samples, asked with what was known before", len(rows), len(train))
    place = CompanionPlace(run_dir / TABLES_OF_PARTS / "companions-learning", world)
    past = prepared.source.graphs_of(known, votes=False, place=place).to(world.device)
    graphs = dataclasses.replace(prepared.graphs, evidence=past.evidence)
    return LearningMaterial(train.take(rows), graphs, passes_of(len(rows), prepared.source.settings))


def passes_of(num_samples: int, settings: GraphConfig) -> int:
    """So many that an epoch has `LEAST_STEPS`, but no more steps than one over all of train would have."""
    steps = steps_of_epoch(num_samples, settings.schedule.global_batch)
    return min(math.ceil(LEAST_STEPS / steps), round(1 / LATEST_SHARE))
