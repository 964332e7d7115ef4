"""Pretrain the dual-graph sequential model; export rankings and user vectors.

torchrun --nproc-per-node 2 -m graph.pretrain --config demo
"""

import logging
import shutil
from pathlib import Path

from graph.config import GraphConfig
from graph.learning.material import learning_material, with_passes
from graph.load import TABLES_OF_PARTS, Prepared, load_blocks, make_ranker, prepare, save_settings, with_left_out
from graph.objective import Objective
from graph.ranking.export_lists import export_lists
from graph.ranking.export_vectors import export_vectors
from graph.ranking.full_ranking import Judge
from graph.ranking.left_out import export_left_out
from graph.training import Trainer
from launch.checkpoints import save_weights
from launch.distributed import World, init_world
from launch.stage import entry_point, open_stage, parse_job
from launch.tracking import Tracker, open_tracker
from pairs.history_keys import one_of_twins
from pairs.tables import load_samples

log = logging.getLogger(__name__)


def pretrain(config: GraphConfig, *, run_dir: Path, seed: int, world: World, tracker: Tracker) -> None:
    """Train, or go on training, until valid stops getting better; then write what other stages read."""
    prepared = prepare(run_dir, config, world)
    if config.model.encoder == "late" and (blocks := load_blocks(run_dir, seed=seed)):
        prepared = with_left_out(prepared, blocks, run_dir, world)
        del blocks  # together as large as train
    objective = Objective(make_ranker(prepared, config, seed=seed, device=world.device), config).to(world.device)
    log.info(
        "graph model: %d parameters, world size %d, %d samples a step",
        sum(weight.numel() for weight in objective.parameters()),
        world.size,
        config.schedule.global_batch,
    )
    judge = _learnt(objective, prepared, config, run_dir, seed=seed, world=world, tracker=tracker)
    objective.eval()
    if world.is_main:
        save_settings(run_dir, config)
        save_weights(run_dir / "graph" / "model.safetensors", objective.ranker)
    export_lists(judge, prepared, run_dir, depth=config.list_depth, held_out=config.held_out_lists, seed=seed)
    if config.model.evidence:
        export_left_out(judge, prepared, run_dir, depth=config.list_depth, most=config.train_lists, seed=seed)
    export_vectors(judge, run_dir, held_out=config.held_out_lists, seed=seed)
    world.barrier()
    if world.is_main:
        shutil.rmtree(run_dir / TABLES_OF_PARTS, ignore_errors=True)


def _learnt(
    objective: Objective,
    prepared: Prepared,
    config: GraphConfig,
    run_dir: Path,
    *,
    seed: int,
    world: World,
    tracker: Tracker,
) -> Judge:
    """Train; who ranks with what was learnt. What was learnt from, graphs as large as train's, is let go."""
    material = learning_material(prepared, run_dir, world, seed=seed)
    trainer = Trainer(
        objective,
        material.graphs,
        with_passes(config, material.passes),
        judged_with=prepared.graphs,
        seed=seed,
        folder=run_dir / "graph" / "checkpoints",
        world=world,
        tracker=tracker,
    )
    learnt_from = one_of_twins(material.samples, seed=seed) if config.loss.twins == "one" else material.samples
    trainer.fit(learnt_from, load_samples(run_dir, "valid"))
    return trainer.judged_by


@entry_point
def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    job = parse_job(GraphConfig, "pretrain", argv)
    with init_world() as world, open_stage(job, world), open_tracker(job, world) as tracker:
        pretrain(job.config, run_dir=job.run_dir, seed=job.seed, world=world, tracker=tracker)


if __name__ == "__main__":
    main()
