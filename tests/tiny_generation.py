"""A tiny run that is ready for `generate`: the tiny pair, its prompts, and a small Llama with random weights."""

from dataclasses import replace
from pathlib import Path

import torch

from launch.distributed import World
from launch.tracking import Tracker
from pairs.row_parts import finished_parts, part_path
from pairs.tables import Split, load_pair
from retrieval.grounding import TitleGrounder
from tests.tiny_prompts import write_tiny_run
from training.answers.answerer import load_answerer
from training.answers.config import GenerationConfig
from training.answers.parts import read_prompts, write_parts
from training.base_files import BaseModel
from training.base_model import load_tokenizer_folder
from training.config import ScratchConfig
from training.generate import generate
from training.prompts.config import PromptsConfig
from training.scratch import build_model
from training.tokenize_prompts import tokenize_prompts

PROMPTS = PromptsConfig(
    scratch_vocab=400, max_tokens=140, num_neighbours=2, max_history=6, neighbour_items=3, kindred="histories"
)
CONSTRAINED = GenerationConfig(
    mode="constrained", num_beams=3, list_depth=8, batch_tokens=500, part_batches=1, precision="fp32"
)
FREE = replace(CONSTRAINED, mode="free", max_new_tokens=6)


def write_answerable_run(run_dir: Path) -> None:
    """pair/, neighbours/, prompts/ by their own code, llm/model/ untrained."""
    write_tiny_run(run_dir)
    tokenize_prompts(PROMPTS, run_dir=run_dir, seed=1, tracker=Tracker(None, "tokenize"))
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert isinstance(end, int)
    assert isinstance(pad, int)
    size = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2)
    model = build_model(size, vocab_size=len(tokenizer), eos=end, pad=pad, max_tokens=140, seed=2, dtype=torch.float32)
    for parameter in model.parameters():  # far from uniform, or every beam would be a matter of rounding
        parameter.data *= 3
    model.save_pretrained(run_dir / "llm" / "model")
    tokenizer.save_pretrained(run_dir / "llm" / "model")


def generate_alone(config: GenerationConfig, run_dir: Path) -> None:
    """The stage's body in this process."""
    generate(config, base=SCRATCH, run_dir=run_dir, seed=1, world=ALONE, tracker=Tracker(None, "generate"))


def parts_alone(config: GenerationConfig, run_dir: Path, split: Split, world: World | None = None) -> list[Path]:
    """The parts of a split as the stage leaves them before it joins them; those of one rank of `world`, if given."""
    pair = load_pair(run_dir)
    grounder = TitleGrounder(pair.items)
    answerer = load_answerer(config, base=None, run_dir=run_dir, pair=pair, grounder=grounder, device=ALONE.device)
    prompts = read_prompts(run_dir, split, max_samples=config.max_samples, seed=1)
    folder = run_dir / "generated/parts" / split
    done = finished_parts(folder)
    write_parts(answerer, prompts, done=done, folder=folder, label=split, world=world or ALONE)
    return [part_path(folder, places) for places in finished_parts(folder)]


SCRATCH = BaseModel("scratch")
ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
