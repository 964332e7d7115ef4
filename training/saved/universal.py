"""A checkpoint of the fine-tune for another number of ranks: DeepSpeed's universal form, a file a parameter and moment.

Both directions run pickles of the checkpoint: call them only for what was found whole and sealed by this user.
"""

import argparse
import contextlib
import io
import logging
import shutil
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch
from deepspeed.checkpoint import ds_to_universal

from launch.distributed import World
from launch.errors import InputError, first_line
from training.saved.four_bits import has_four_bits

UNIVERSAL = ".universal"
MODEL = "pytorch_model"
"""The folder of the model inside a checkpoint, as Accelerate names it."""
LOOK_SECONDS = 0.5
log = logging.getLogger(__name__)


def why_not_elastic(engine: Any) -> str | None:  # Any: DeepSpeed's engine, untyped
    """Why checkpoints of this engine serve one number of ranks only; None where they serve any."""
    if engine.zero_nvme_offload_optimizer():
        return "offload to NVMe keeps a part of it outside of the checkpoint"
    if has_four_bits(engine.module):
        return "weights of 4 bits (llm.lora.base=nf4) have no universal form"
    if type(engine.optimizer.optimizer).__name__ == "AdamW8bit":
        return "the moments of llm.optimizer=adamw_8bit belong to blocks of one rank's weights"
    return None


def convert(position: Path, goal: Path, world: World) -> None:
    """Write the universal form of the checkpoint `position` to the folder `goal`, on rank 0. Call on all ranks.

    Ranks that wait meet twice a second, so that minutes of work on a large model run into no time-out.
    """
    work = _Conversion(position, goal)
    if world.is_main:
        shutil.rmtree(goal, ignore_errors=True)
        goal.mkdir(parents=True)
        work.start()
    while not world.broadcast_object(world.is_main and work.has_ended()):
        pass
    problem = world.broadcast_object(work.problem)
    if problem is not None:
        raise InputError(problem)


class _Conversion(Thread):
    """DeepSpeed's own converter, without processes of its own: forks of a process with a GPU do not end well."""

    def __init__(self, position: Path, goal: Path) -> None:
        super().__init__(daemon=True)
        self.position = position
        self.goal = goal
        self.problem: str | None = None

    def run(self) -> None:
        """Convert; `problem` says what went wrong."""
        words = argparse.Namespace(
            input_folder=str(self.position / MODEL),
            output_folder=str(self.goal / MODEL),
            num_extract_workers=1,
            num_merge_workers=1,
            keep_temp_folder=False,
            strict=True,
            inject_missing_state=True,
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # bars
                ds_to_universal.main(words)
        except Exception as error:
            log.debug("conversion failed", exc_info=error)
            self.problem = f"{type(error).__name__}: {first_line(error)}"

    def has_ended(self) -> bool:
        """Whether it is done, after a moment's wait."""
        self.join(LOOK_SECONDS)
        return not self.is_alive()


def load_universal(engine: Any, folder: Path) -> None:  # Any: DeepSpeed's engine, untyped
    """Put back weights and optimizer state from the universal form, whatever the number of ranks."""
    optimizer = engine.optimizer.optimizer
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    engine._config.load_universal_checkpoint = True
    try:
        engine.load_checkpoint(str(folder), MODEL)
    finally:
        engine._config.load_universal_checkpoint = False
    # DeepSpeed gives every group of parameters the settings of the first, weight decay among them ...
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)
    # ... and all of them one and the same count of steps, which each would then raise.
    for state in optimizer.state.values():
        if isinstance(state.get("step"), torch.Tensor):
            state["step"] = state["step"].clone()


def seed_noise(seed: int, step: int, rank: int) -> None:
    """Dropout from `step` on, where the state of this rank's generators is nowhere: no rank had just its place."""
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0]))
