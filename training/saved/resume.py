"""Checkpoints of the fine-tune: DeepSpeed's sharded state, and where in the run it was taken.

DeepSpeed's files are pickles, and loading a pickle can run code. So every checkpoint holds a seal, written last, with
a digest over it whose key lies outside the run folder: what this user did not write is refused unread, what was
damaged since is passed over. Where another number of ranks goes on, the checkpoint's universal form lies beside it, as
`step-N.universal`, sealed like it, until the next checkpoint.
"""

import contextlib
import logging
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from launch.artifacts import PARTIAL, read_json, write_json
from launch.checkpoints import check_all_see
from launch.distributed import World
from launch.errors import InputError
from launch.seals import Foreign, digest_files, first_difference, list_files, make_seal, read_seal
from launch.state_key import STATE_FOLDER, state_key
from launch.steps import Reached
from training.saved.four_bits import has_four_bits
from training.saved.tuned_weights import why_damaged
from training.saved.universal import UNIVERSAL, convert, load_universal, seed_noise, why_not_elastic

log = logging.getLogger(__name__)
NAME = re.compile(r"step-(\d+)")
SEAL = "seal.json"
WRITER = re.compile(r"(?:pp_rank_|random_states_)(\d+)")
"""The rank that wrote a file of a checkpoint, in its name."""
KEEP = 2


@dataclass(frozen=True)
class LossSums:
    """What the steps since the last line of the log came to, over all ranks, and what of them is told from a spike."""

    loss: float = 0.0
    learnt_tokens: int = 0
    usual: float = 0.0
    usual_steps: int = 0
    skipped: int = 0


def save_position(
    accelerator: Accelerator, folder: Path, reached: Reached, world: World, *, sums: LossSums | None = None
) -> None:
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
        write_json(
            partial / "position.json", {**asdict(reached), "world_size": world.size, "sums": asdict(sums or LossSums())}
        )
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
        for converted in folder.glob(f"*{UNIVERSAL}"):
            shutil.rmtree(converted)
    world.barrier()


def load_position(
    engine: Any, accelerator: Accelerator, folder: Path, world: World, *, seed: int, best: Path | None = None
) -> tuple[Reached, LossSums]:
    """Put back the latest whole checkpoint, or stand at the start. Call on all ranks, as many as there are now.

    Args:
        engine: DeepSpeed's, untyped.
        best: where the best weights are, if they are kept: where they are damaged, the way to them is gone again.
    """
    chosen = newest_whole(folder, world)
    if chosen is None:
        return Reached(), LossSums()
    values = world.broadcast_object(read_json(chosen / "position.json") if world.is_main else None)
    size, sums = values.pop("world_size"), LossSums(**values.pop("sums", {}))
    reached = Reached(**values)
    if best is not None and reached.best_step > 0:
        why = world.broadcast_object(why_damaged(best) if world.is_main else None)
        if why is not None:
            if world.is_main:
                log.warning("%s: damaged (%s); training starts from the beginning", best, why)
            return Reached(), LossSums()
    if size == world.size:
        # Scales of weights in 4 bits are in the checkpoint and, like the weights, in the model already.
        accelerator.load_state(str(chosen), load_module_strict=not has_four_bits(engine.module))
        log.info("resuming from %s", chosen)
    else:
        reason = why_not_elastic(engine)
        if reason is not None:
            raise InputError(f"{chosen}: {_of_other_ranks(size, world)}: {reason}; {_way_out(size, folder)}")
        load_universal(engine, _universal_form(chosen, size, world))
        seed_noise(seed, reached.step, world.rank)
        log.info("resuming from %s, written by %d ranks, on %d", chosen, size, world.size)
    accelerator.step = 0  # micro-steps are counted from here: an optimizer step may have another number of them now
    return reached, sums


def list_positions(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def newest_whole(folder: Path, world: World) -> Path | None:
    """The latest checkpoint that is as this user wrote it; InputError where one was written elsewhere, or where ranks
    on different nodes see different ones. Call on all ranks."""
    # Without a place for the key, say so now and not at the first checkpoint, hours later.
    key, refusal = b"", None
    if world.is_main:
        try:
            key = state_key()
        except InputError as error:
            refusal = str(error)
    _raise_together(refusal, world)
    names: list[str] = world.broadcast_object([path.name for path in list_positions(folder)] if world.is_main else None)
    if not names:
        check_all_see(folder, "checkpoints" if list_positions(folder) and not world.is_main else "", world)
    for path in [folder / name for name in reversed(names)]:
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
            check_all_see(path, digest_files(path, [SEAL])[SEAL], world)
            why = first_difference(sealed, _digest_shares(path, world))
        if why is None:
            return path
        then = "training starts from the beginning" if path.name == names[0] else "going back to the one before it"
        if world.is_main:
            log.warning("%s: damaged (%s); %s", path, why, then)
    return None


def _universal_form(position: Path, size: int, world: World) -> Path:
    """The universal form of a whole checkpoint that `size` ranks wrote: the one that lies beside it, or made now."""
    goal = position.with_name(position.name + UNIVERSAL)
    sealed = None
    if world.is_main:
        with contextlib.suppress(ValueError):  # torn, damaged or a stranger's: it is made again, unread
            sealed = read_seal(goal / SEAL, key=state_key())
    sealed = world.broadcast_object(sealed)
    if sealed is not None and first_difference(sealed, _digest_shares(goal, world)) is None:
        return goal
    log.info("%s: %s; converting it", position, _of_other_ranks(size, world))
    partial = position.with_name(f".{goal.name}{PARTIAL}")
    try:
        convert(position, partial, world)
    except InputError as error:
        raise InputError(
            f"{position}: {_of_other_ranks(size, world)}, and cannot be converted ({error}); "
            f"{_way_out(size, position.parent)}"
        ) from error
    digests = _digest_shares(partial, world)
    if world.is_main:
        write_json(partial / SEAL, make_seal(digests, key=state_key()))
        shutil.rmtree(goal, ignore_errors=True)
        partial.replace(goal)
    world.barrier()
    return goal


def _of_other_ranks(size: int, world: World) -> str:
    return f"written by {size} ranks, {world.size} go on"


def _way_out(size: int, folder: Path) -> str:
    return f"start with {size} ranks (launch.processes) or remove {folder} to start the fine-tune anew"


def _raise_together(refusal: str | None, world: World) -> None:
    refusal = world.broadcast_object(refusal)
    if refusal is not None:
        raise InputError(refusal)


def _digest_shares(folder: Path, world: World) -> dict[str, str]:
    """The digests of all files of a checkpoint but its seal, on all ranks. Each reads what the rank in its place wrote,
    which is what it will load, and its share of the rest."""
    names: list[str] = world.broadcast_object(list_files(folder, seal=SEAL) if world.is_main else None)
    digests: dict[str, str] = {}
    for part in world.gather_objects(digest_files(folder, _share(names, world))):
        digests |= part
    return digests


def _share(names: list[str], world: World) -> list[str]:
    writers = {name: WRITER.search(name) for name in names}
    others = [name for name in names if writers[name] is None]
    own = [name for name, writer in writers.items() if writer and int(writer[1]) % world.size == world.rank]
    return own + others[world.rank :: world.size]
