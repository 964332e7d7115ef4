"""What ranks of the fine-tune's tests run: top-level functions, for `run_ranks` and for `accelerate launch`.

accelerate launch --config_file ds_configs/accelerate_cpu.yaml -m tests.distributed.finetune_ranks RUN_DIR
"""

import json
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DeepSpeedPlugin
from transformers import LlamaForCausalLM

from launch.artifacts import read_json
from launch.distributed import World, init_world
from launch.errors import InputError
from launch.stages import stage_named
from launch.tracking import Tracker
from tests.tiny_prompts import write_tiny_run
from training.base_files import find_base
from training.config import LlmConfig, ScratchConfig
from training.finetune import finetune
from training.prompts.config import PromptsConfig
from training.scratch import build_model
from training.tokenize_prompts import tokenize_prompts
from training.tuning import fit as fit_module
from training.tuning.engine import check_ranks, deepspeed_settings
from training.tuning.optimizer import learning_rate

PROMPTS = PromptsConfig(scratch_vocab=400, max_tokens=140, num_neighbours=1, max_history=4, neighbour_items=2)
TINY = LlmConfig(
    precision="fp32",
    lr=5e-3,
    epochs=1,
    max_steps=6,
    global_batch=8,
    per_device_batch=2,
    eval_every=3,
    eval_samples=7,
    checkpoint_every=2,
    log_every=1,
    scratch=ScratchConfig(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64),
)


def prepare_run(run_dir: Path, prompts: PromptsConfig = PROMPTS) -> Path:
    """A tiny run up to its prompts."""
    write_tiny_run(run_dir)
    tokenize_prompts(prompts, run_dir=run_dir, seed=1, tracker=Tracker(None, "tokenize"))
    return run_dir


def start_model() -> LlamaForCausalLM:
    """What the scratch runs start from."""
    return build_model(TINY.scratch, vocab_size=400, eos=1, pad=0, max_tokens=140, seed=1, dtype=torch.float32)


def run_finetune(world: World, run_dir: Path, config: LlmConfig = TINY) -> dict[str, list[float]]:
    """Fine-tune in `run_dir`; what the tracker was told, by tag."""
    AcceleratorState._reset_state(reset_partial_state=True)
    tracker = Tracker(run_dir if world.is_main else None, stage_named("finetune").name)
    base = find_base(read_json(run_dir / "prompts" / "meta.json")["base"])
    finetune(config, base=base, run_dir=run_dir, seed=1, world=world, tracker=tracker)
    tracker.close()
    return tracked(run_dir) if world.is_main else {}


def run_until_killed(world: World, run_dir: Path, config: LlmConfig, *, step: int) -> None:
    """Fine-tune, but stop dead before `step`, as a killed job does."""

    def stop(at: int, total: int, given: LlmConfig) -> float:
        if at == step:
            raise KeyboardInterrupt
        return original(at, total, given)

    original = learning_rate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "learning_rate", stop)
        with pytest.raises(KeyboardInterrupt):
            run_finetune(world, run_dir, config)


def count_ranks_without_a_back_end(world: World) -> str:
    """What `check_ranks` says when Accelerate was not told how the ranks talk, as on a machine without GPUs."""
    AcceleratorState._reset_state(reset_partial_state=True)
    settings = deepspeed_settings(TINY, world, hidden_size=32)
    blind = Accelerator(deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=settings))
    assert blind.num_processes == 1, "the trap is gone: Accelerate sees the ranks by itself"
    with pytest.raises(InputError) as refused:
        check_ranks(blind, world)
    return str(refused.value)


def tracked(run_dir: Path) -> dict[str, list[float]]:
    """The numbers in metrics.jsonl, by tag, in order."""
    values: dict[str, list[float]] = {}
    for line in (run_dir / "metrics" / "finetune" / "metrics.jsonl").read_text().splitlines():
        for tag, value in json.loads(line).items():
            values.setdefault(tag, []).append(value)
    return values


def main() -> None:
    with init_world() as world:
        run_finetune(world, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
