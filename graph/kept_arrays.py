"""Arrays that one start leaves to the next, and the first rank to all: read as they were written, or made anew."""

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from launch.artifacts import atomic_file
from launch.distributed import World
from launch.processes.threads import of_waiting_ranks
from launch.watch.beats import long

Scalar = TypeVar("Scalar", bound=np.generic)
log = logging.getLogger(__name__)


def shared_array(path: Path, make: Callable[[], npt.NDArray[Scalar]], world: World) -> npt.NDArray[Scalar]:
    """What the first rank made, or found in the file, on all ranks: mapped, so that a node holds it once. Who writes
    into it writes a copy of his own."""
    if world.is_main and not is_whole(path):
        with long(path.stem), of_waiting_ranks(world):
            array = make()
        with atomic_file(path) as partial, partial.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    world.barrier()
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def is_whole(path: Path) -> bool:
    """Whether a `.npy` or `.npz` is there and can be read to its end; an `.npz` has checksums, an `.npy` a length."""
    if not path.is_file():
        return False
    try:
        kept = np.load(path, mmap_mode="r", allow_pickle=False)  # an .npy that is too short cannot be mapped
        if isinstance(kept, np.lib.npyio.NpzFile):
            with kept:
                for name in kept.files:
                    kept[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s: damaged (%s); it is made anew", path, str(error).partition("\n")[0])
        return False
    return True
