"""Checkpoints of the fine-tune: DeepSpeed's sharded state, and where in the run it was taken."""

import logging
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import Accelerator

from launch.artifacts import PARTIAL, read_json, write_json
from launch.distributed import World
from launch.errors import InputError

log = logging.getLogger(__name__)
NAME = re.compile(r"step-(\d+)")
KEEP = 2


@dataclass(frozen=True)
class Position:
    """Where a run stands. The learning rate and the data order follow from the step and the seed."""

    step: int = 0
    """Optimizer steps done."""
    best_step: int = 0
    """The step of the lowest validation loss; 0: not measured yet."""
    best_loss: float = float("inf")


def save_position(accelerator: Accelerator, folder: Path, position: Position, world: World) -> None:
    """Write `folder/step-N`: model, optimizer and random state of every rank. Call on all ranks."""
    final = folder / f"step-{position.step:09d}"
    partial = folder / f".{final.name}{PARTIAL}"
    if world.is_main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    world.barrier()
    accelerator.save_state(str(partial))
    world.barrier()
    if world.is_main:
        write_json(partial / "position.json", {**asdict(position), "world_size": world.size})
        shutil.rmtree(final, ignore_errors=True)
        partial.replace(final)
        for old in list_positions(folder)[:-KEEP]:
            shutil.rmtree(old)
    world.barrier()


def load_position(accelerator: Accelerator, folder: Path, world: World) -> Position:
    """Put back the latest checkpoint, or stand at the start. Call on all ranks."""
    found = world.broadcast_object(list_positions(folder))
    if not found:
        return Position()
    values = read_json(found[-1] / "position.json")
    size = values.pop("world_size")
    if size != world.size:
        raise InputError(
            f"{found[-1]}: written by {size} ranks, cannot go on with {world.size}; set launch.processes={size} or "
            f"remove {folder}"
        )
    accelerator.load_state(str(found[-1]))
    log.info("resuming from %s", found[-1])
    return Position(**values)


def list_positions(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))
