"""Let the tuned model answer the prompts of valid and test, and turn its texts into ranked lists.

torchrun --nproc-per-node 8 -m training.generate --config launch/recipes/demo.yaml
"""

import logging
from pathlib import Path

from launch.artifacts import write_json
from launch.distributed import World, init_world
from launch.stage import entry_point, open_stage, parse_job
from launch.tracking import Tracker, open_tracker
from pairs.tables import load_pair
from retrieval.grounding import TitleGrounder
from training.answers.answerer import load_answerer
from training.answers.config import GenerationConfig
from training.answers.parts import GENERATED, describe_lists, generate_split, read_prompts
from training.base_files import BaseModel, base_of_run

log = logging.getLogger(__name__)


@entry_point
def main(argv: list[str] | None = None) -> None:
    job = parse_job(GenerationConfig, "generate", argv)
    with init_world() as world, open_stage(job, world), open_tracker(job, world) as tracker:
        base = base_of_run(job.run_dir, job.sections["prompts"])
        generate(job.config, base=base, run_dir=job.run_dir, seed=job.seed, world=world, tracker=tracker)


def generate(
    config: GenerationConfig, *, base: BaseModel, run_dir: Path, seed: int, world: World, tracker: Tracker
) -> None:
    """Write lists/llm_valid and llm_test, and generated/generation.json."""
    pair = load_pair(run_dir)
    answerer = load_answerer(
        config, base=base, run_dir=run_dir, pair=pair, grounder=TitleGrounder(pair.items), device=world.device,
        ranks=world.size,
    )  # fmt: skip
    for split in GENERATED:
        prompts = read_prompts(run_dir, split, max_samples=config.max_samples, seed=seed)
        generate_split(answerer, prompts, run_dir=run_dir, split=split, world=world)
    if world.is_main:
        described = {split: describe_lists(run_dir / "lists" / f"llm_{split}.parquet") for split in GENERATED}
        for split, facts in described.items():
            log.info("%s: %.1f %% of the texts are out of domain", split, 100 * facts["out_of_domain"])
            tracker.log({f"generate/{split}_{name}": value for name, value in facts.items()}, step=0)
        write_json(run_dir / "generated" / "generation.json", {**answerer.settings, "splits": described})
    world.barrier()


if __name__ == "__main__":
    main()
