"""Companions in their folder: counted by the first rank unless a start before has left them, mapped by all."""

import hashlib
import json
import logging
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from graph.companions.count import count_companions
from graph.companions.mapped import CompanionGraph, Owners
from graph.companions.rules import CompanionRules
from graph.words import Floats
from launch.artifacts import atomic_folder, read_json, write_json
from launch.distributed import World
from launch.processes.threads import of_waiting_ranks
from launch.watch.beats import long
from pairs.tables import Samples

FORMAT = 1
"""Raised when the same samples are counted or written otherwise."""
META = "meta.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompanionTables:
    """What some users have, and the companions in each domain."""

    owners: Owners
    of_domain: tuple[CompanionGraph, CompanionGraph]


@dataclass(frozen=True)
class CompanionPlace:
    """Where the ranks keep the companions of some samples."""

    folder: Path
    world: World


def kept_companions(
    place: CompanionPlace, known: Samples, text_IK: Floats, rules: CompanionRules, *, memory_gib: float
) -> CompanionTables:
    """The companions in a folder, counted there unless they are: of other samples, or damaged. A collective."""
    folder, world = place.folder, place.world
    if world.is_main:
        mark = fingerprint(known, text_IK, rules)
        if not _is_whole(folder, mark):
            with long("companions"), of_waiting_ranks(world), atomic_folder(folder) as partial:
                count_companions(partial, known, text_IK, rules, memory_gib=memory_gib)
                write_json(partial / META, {"fingerprint": mark, "bytes": _sizes(partial)})
    world.barrier()
    return open_companions(folder, rules)


def drop_companions(place: CompanionPlace) -> None:
    """Remove what nobody asks about any more. A collective.

    On a network disk, files that some rank still has mapped keep the folder until the stage ends.
    """
    place.world.barrier()
    if place.world.is_main:
        shutil.rmtree(place.folder, ignore_errors=True)


def own_companions(known: Samples, text_IK: Floats, rules: CompanionRules, *, memory_gib: float) -> CompanionTables:
    """The same for this process alone, in a folder without a name: its room is free when nobody reads it any more."""
    with tempfile.TemporaryDirectory(prefix="companions-") as folder:
        with long("companions"):
            count_companions(Path(folder), known, text_IK, rules, memory_gib=memory_gib)
        return open_companions(Path(folder), rules)


def open_companions(folder: Path, rules: CompanionRules) -> CompanionTables:
    """Map what is there."""
    owners = Owners(folder)
    x_graph, y_graph = (CompanionGraph(folder, owners, domain, rules.ids(domain)) for domain in (0, 1))
    return CompanionTables(owners, (x_graph, y_graph))


def fingerprint(known: Samples, text_IK: Floats, rules: CompanionRules) -> str:
    """Of all that decides what is counted."""
    digest = hashlib.blake2b(json.dumps({"format": FORMAT} | asdict(rules)).encode(), digest_size=16)
    for column in (known.user, known.target, known.offsets, known.history, text_IK):
        digest.update(str((column.dtype.str, column.shape)).encode())
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != META}


def _is_whole(folder: Path, mark: str) -> bool:
    """Whether the folder has what it was written with, and for these samples."""
    if not folder.is_dir():
        return False
    try:
        meta = read_json(folder / META)
        if meta["bytes"] == _sizes(folder):
            return bool(meta["fingerprint"] == mark)
        why = "files are missing or of other lengths"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = str(error).partition("\n")[0]
    log.warning("%s: damaged (%s); it is made anew", folder, why)
    return False
