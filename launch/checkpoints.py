"""Checkpoints of our own training loops: atomic, loaded without pickled code, the latest ones kept."""

import logging
import re
from pathlib import Path
from typing import Any

import torch

from launch.artifacts import atomic_file

log = logging.getLogger(__name__)
NAME = re.compile(r"step-(\d+)\.pt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], *, keep: int = 2) -> Path:
    """Write `state` (tensors, numbers, strings, lists, dicts) as `step-N.pt`; older ones beyond `keep` go.

    Call on rank 0 only, with the state of all ranks in it.
    """
    path = folder / f"step-{step:09d}.pt"
    with atomic_file(path) as partial:
        torch.save(state, partial)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The latest (step, state), on the CPU, or None where there is none."""
    paths = list_checkpoints(folder)
    if not paths:
        return None
    match = NAME.fullmatch(paths[-1].name)
    assert match is not None
    state = torch.load(paths[-1], map_location="cpu", weights_only=True)
    log.info("resuming from %s", paths[-1])
    return int(match.group(1)), state


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of torch's random generators that this rank draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put back what `rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
