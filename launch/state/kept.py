"""What a run keeps for those who ask it: arrays made once, read by memory map from then on.

`asked/NAME.safetensors` holds named arrays, a mark of what they were made of, and a digest of their bytes. A file that
is of something else, cut or altered is made anew; one that cannot be written is made in memory, each time.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from launch.artifacts import atomic_file
from launch.stages import STAGES
from launch.state.manifests import read_manifest
from launch.watch.beats import long

Array = npt.NDArray[Any]  # Any: ids, counts or numbers
Arrays: TypeAlias = Mapping[str, Array]
FOLDER = "asked"
SAID = "kinrec"
FORMAT = 2
"""Raised when the same run makes other arrays."""
log = logging.getLogger(__name__)


class KeptArrays:
    """The arrays of one run, or of a process alone."""

    def __init__(self, folder: Path | None, mark: str) -> None:
        """Without a folder nothing is kept."""
        self.folder, self._mark = folder, mark
        self._may_write = folder is not None

    @classmethod
    def of_run(cls, run_dir: Path) -> "KeptArrays":
        """Marked with all that the run's stages wrote: when one of them has run again, all is made anew."""
        manifests = {stage.name: read_manifest(run_dir, stage) for stage in STAGES}
        wrote = {name: None if manifest is None else manifest["fingerprint"] for name, manifest in manifests.items()}
        told = json.dumps({"format": FORMAT, "wrote": wrote}, sort_keys=True)
        return cls(run_dir / FOLDER, hashlib.sha256(told.encode()).hexdigest())

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays called `name`: those of the file or, where it does not hold, what `make` makes."""
        path = None if self.folder is None else self.folder / f"{name}.safetensors"
        if path is not None:
            there = self._read(path)
            if there is not None:
                return there
        with long(name):
            made = make()
        if path is None or not self._may_write:
            return made
        try:
            write_arrays(path, made, mark=self._mark)
        except OSError as error:
            self._may_write = False
            log.warning("%s cannot be written (%s): made for this process alone", self.folder, error.strerror)
        return made

    def _read(self, path: Path) -> Arrays | None:
        if not path.is_file():
            return None
        why = None
        try:
            arrays, mark = read_arrays(path)
            if mark == self._mark:
                return arrays
            why = "of other results than the run's"
        except (OSError, ValueError) as error:
            why = str(error).partition("\n")[0]
        log.info("%s: not taken (%s); it is made anew", path, why)
        return None


NOTHING_KEPT = KeptArrays(None, "")
"""Everything is made by whoever needs it."""


def write_arrays(path: Path, arrays: Arrays, *, mark: str) -> None:
    """A file of arrays, whole or not at all."""
    from safetensors.numpy import save_file  # here and below: torch's seconds are not for who only looks on

    solid = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_file(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode  # as the user's other files; safetensors would keep it from everybody else
        # One entry alone: safetensors puts several in any order.
        save_file(solid, partial, metadata={SAID: json.dumps({"mark": mark, "digest": _digest(solid)})})
        partial.chmod(mode)


def read_arrays(path: Path) -> tuple[Arrays, str]:
    """The arrays of a file, mapped, and its mark. ValueError where it is not as it was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {})[SAID])
            arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118  it is no mapping
        mark, digest = said["mark"], said["digest"]
    except (SafetensorError, LookupError, TypeError, RuntimeError, RecursionError) as error:
        raise ValueError(f"damaged: {error}") from error
    if digest != _digest(arrays):
        raise ValueError("damaged: other bytes than were written")
    return arrays, str(mark)


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
