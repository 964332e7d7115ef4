"""Checkpoints of our own training loops: whole or passed over, loaded without pickled code, the latest two kept.

Beside `step-N.pt` lies its seal, `step-N.json`, written last: where it is absent or says otherwise, the checkpoint is
torn or damaged, and the one before it is taken. No key is needed: `weights_only` loading runs no code, whoever wrote.
"""

import hashlib
import logging
import re
import socket
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from launch.artifacts import atomic_file, write_json
from launch.distributed import World
from launch.errors import InputError, first_line
from launch.seals import digest_files, first_difference, read_seal, seal_files

log = logging.getLogger(__name__)
DIGEST = "sha256"
NAME = re.compile(r"step-(\d+)\.pt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], *, keep: int = 2) -> Path:
    """Write `state` (tensors, numbers, strings, lists, dicts) as `step-N.pt`; older ones beyond `keep` go.

    Call on rank 0 only, with the state of all ranks in it.
    """
    path = folder / f"step-{step:09d}.pt"
    _seal_of(path).unlink(missing_ok=True)
    with atomic_file(path) as partial:
        torch.save(state, partial)
    write_json(_seal_of(path), seal_files(folder, [path.name], key=None))
    there = list_checkpoints(folder)
    # Later ones were passed over as damaged, or training would have gone on from them.
    for old in [*there[: there.index(path) + 1][:-keep], *there[there.index(path) + 1 :]]:
        old.unlink()
        _seal_of(old).unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path, world: World) -> tuple[int, dict[str, Any]] | None:
    """The latest whole (step, state), on the CPU, or None where there is none. Call on all ranks.

    Rank 0 names it; InputError where another rank, which reads its own node's disk, sees something else there.
    """
    chosen = _latest_whole(folder) if world.is_main else None
    there = {path.name for path in list_checkpoints(folder)}
    name: str | None
    name, seen_by_main = world.broadcast_object((None if chosen is None else chosen.name, there))
    if name is None:  # damaged ones, which rank 0 passes over, are the others' to see as well
        check_all_see(folder, "checkpoints" if there - seen_by_main else "", world)
        return None
    path = folder / name
    check_all_see(path, digest_files(folder, [name])[name], world)
    match = NAME.fullmatch(name)
    assert match is not None
    state = torch.load(path, map_location="cpu", weights_only=True)
    log.info("resuming from %s", path)
    return int(match.group(1)), state


def check_all_see(path: Path, seen: str, world: World) -> None:
    """InputError on all ranks unless each sees of `path` what rank 0 sees.

    Args:
        seen: what this rank sees there, as a digest; empty: nothing.
    """
    views: list[tuple[str, str]] = world.gather_objects((socket.gethostname(), seen))
    main_host, expected = views[0]
    for rank, (host, view) in enumerate(views):
        if view != expected:
            sees = "does not see it" if not view else "sees another one" if expected else "sees checkpoints"
            main_sees = "would go on from it" if expected else "sees none"
            raise InputError(
                f"{path}: rank {rank} on {host} {sees}, rank 0 on {main_host} {main_sees}; the run folder must be one "
                "folder that all nodes share"
            )


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def _latest_whole(folder: Path) -> Path | None:
    paths = list_checkpoints(folder)
    for path in reversed(paths):
        why = _why_damaged(path)
        if why is None:
            return path
        then = "training starts from the beginning" if path == paths[0] else "going back to the one before it"
        log.warning("%s: damaged (%s); %s", path, why, then)
    return None


def _why_damaged(path: Path) -> str | None:
    try:
        sealed = read_seal(_seal_of(path), key=None)
    except ValueError as error:
        return str(error)
    return first_difference(sealed, digest_files(path.parent, [path.name]))


def _seal_of(path: Path) -> Path:
    return path.with_suffix(".json")


def save_weights(path: Path, module: nn.Module, *, sealed: bool = False) -> None:
    """A module's weights as safetensors, atomically; the same weights give the same bytes. Sealed, the file holds a
    digest of its tensors for `why_damaged`."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in module.state_dict().items()}
    with atomic_file(path) as partial:
        save_file(weights, partial, metadata={DIGEST: _digest(weights)} if sealed else None)


def why_damaged(path: Path) -> str | None:
    """None if sealed weights are as they were written, else what is not."""
    try:
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get(DIGEST)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
    except (OSError, SafetensorError) as error:
        return first_line(error)
    if told is None:
        return "it has no seal"
    return None if told == _digest(weights) else "it has other content than was written"


def _digest(weights: dict[str, Tensor]) -> str:
    """SHA-256 of named tensors on the CPU."""
    summed = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        summed.update(f"{name} {weight.dtype} {tuple(weight.shape)} ".encode())
        summed.update(weight.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return summed.hexdigest()


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
