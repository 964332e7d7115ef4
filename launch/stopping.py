"""A stage that is stopped on its way: all ranks agree, save, and raise `Stopped`; the next start goes on.

Whoever works in steps asks at each of them, all ranks together: `raise_if_stopped`, or inside a sum that is made
anyway (launch.steps). What has no steps in common looks at `is_stop_asked` and meets the others later.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from launch.artifacts import read_json
from launch.processes.signals import is_asked, work_begins
from launch.stages import Stage

if TYPE_CHECKING:
    from launch.distributed import World

__all__ = ["Stopped", "is_asked", "raise_if_stopped", "read_stop", "stopped_path", "work_begins"]


class Stopped(Exception):  # noqa: N818  no error: it was asked for
    """The stage was asked to end; what it has done so far is saved."""

    def __init__(self, where: str | None) -> None:
        """`where` it stopped ("step 12"); None: before its work began."""
        super().__init__(where or "before its work began")
        self.where = where


def raise_if_stopped(world: "World", where: str) -> None:
    """Raise `Stopped` on all ranks if one of them was asked to stop. Call it on all ranks."""
    if world.any(is_asked()):
        raise Stopped(where)


def stopped_path(run_dir: Path, stage: Stage) -> Path:
    """Where a stopped stage says so, until its next start."""
    return run_dir / "manifests" / f"{stage.name}.stopped.json"


def read_stop(run_dir: Path, stage: Stage) -> Stopped | None:
    """How `stage` was stopped, or None if it was not."""
    try:
        record = read_json(stopped_path(run_dir, stage))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):  # torn: the machine went down in that moment
        return Stopped(None)
    where = record.get("where") if isinstance(record, dict) else None
    return Stopped(where if isinstance(where, str) else None)
