"""Checkpoints of the fine-tune: DeepSpeed's sharded state, and where in the run it was taken.

DeepSpeed's files are pickles, and loading a pickle can run code. So every checkpoint holds a seal, written last, with
a digest over it whose key lies outside the run folder: what this user did not write is refused unread, what was
damaged since is passed over.
"""

import logging
import re
import shutil
from dataclasses import asdict
from pathlib import Path

from accelerate import Accelerator

from launch.artifacts import PARTIAL, read_json, write_json
from launch.distributed import World
from launch.errors import InputError
from launch.seals import Foreign, digest_files, first_difference, list_files, make_seal, read_seal
from launch.state_key import STATE_FOLDER, state_key
from launch.steps import Reached

log = logging.getLogger(__name__)
NAME = re.compile(r"step-(\d+)")
SEAL = "seal.json"
KEEP = 2


def save_position(accelerator: Accelerator, folder: Path, reached: Reached, world: World) -> None:
    """Write `folder/step-N`: model, optimizer and random state of every rank. Call on all ranks."""
    final = folder / f"step-{reached.step:09d}"
    partial = folder / f".{final.name}{PARTIAL}"
    if world.is_main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    world.barrier()
    accelerator.save_state(str(partial))
    world.barrier()
    if world.is_main:
        write_json(partial / "position.json", {**asdict(reached), "world_size": world.size})
    world.barrier()
    digests = _digest_shares(partial, world)
    if world.is_main:
        write_json(partial / SEAL, make_seal(digests, key=state_key()))
        shutil.rmtree(final, ignore_errors=True)
        partial.replace(final)
        there = list_positions(folder)
        # Later ones were passed over as damaged, or the run would have gone on from them.
        for old in [*there[: there.index(final) + 1][:-KEEP], *there[there.index(final) + 1 :]]:
            shutil.rmtree(old)
    world.barrier()


def load_position(accelerator: Accelerator, folder: Path, world: World) -> Reached:
    """Put back the latest whole checkpoint, or stand at the start. Call on all ranks."""
    chosen = _latest_whole(folder, world)
    if chosen is None:
        return Reached()
    values = read_json(chosen / "position.json")
    size = values.pop("world_size")
    if size != world.size:
        raise InputError(
            f"{chosen}: written by {size} ranks, cannot go on with {world.size}; set launch.processes={size} or "
            f"remove {folder}"
        )
    accelerator.load_state(str(chosen))
    log.info("resuming from %s", chosen)
    return Reached(**values)


def list_positions(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def _latest_whole(folder: Path, world: World) -> Path | None:
    """The latest checkpoint that is as this user wrote it; InputError where one was written elsewhere."""
    # Without a place for the key, say so now and not at the first checkpoint, hours later.
    key, refusal = b"", None
    if world.is_main:
        try:
            key = state_key()
        except InputError as error:
            refusal = str(error)
    _raise_together(refusal, world)
    paths: list[Path] = world.broadcast_object(list_positions(folder) if world.is_main else None)
    for path in reversed(paths):
        sealed, refusal, why = None, None, None
        if world.is_main:
            try:
                sealed = read_seal(path / SEAL, key=key)
            except Foreign as error:
                refusal = (
                    f"{path}: {error}, so it was not written by this user on this machine, and loading it could run "
                    f"code; remove {folder} to start the fine-tune anew, or set {STATE_FOLDER} to the folder with the "
                    "key that it was sealed with"
                )
            except ValueError as error:
                why = str(error)
        _raise_together(refusal, world)
        sealed, why = world.broadcast_object((sealed, why))
        if sealed is not None:
            why = first_difference(sealed, _digest_shares(path, world))
        if why is None:
            return path
        then = "training starts from the beginning" if path == paths[0] else "going back to the one before it"
        if world.is_main:
            log.warning("%s: damaged (%s); %s", path, why, then)
    return None


def _raise_together(refusal: str | None, world: World) -> None:
    refusal = world.broadcast_object(refusal)
    if refusal is not None:
        raise InputError(refusal)


def _digest_shares(folder: Path, world: World) -> dict[str, str]:
    """The digests of all files of a checkpoint but its seal, on all ranks, each of which reads its share."""
    names: list[str] = world.broadcast_object(list_files(folder, seal=SEAL) if world.is_main else None)
    digests: dict[str, str] = {}
    for part in world.gather_objects(digest_files(folder, names[world.rank :: world.size])):
        digests |= part
    return digests
