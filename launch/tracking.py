"""Every number goes to TensorBoard and to a JSON-lines file, written by rank 0 alone.

tensorboard --logdir runs/NAME/tensorboard
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from launch.stage import Job

if TYPE_CHECKING:
    from launch.distributed import World

log = logging.getLogger(__name__)


class Tracker:
    """Where numbers go. On ranks other than 0 it writes nothing; call it on all."""

    def __init__(self, run_dir: Path | None, stage: str) -> None:
        self._stage = stage
        self._lines: TextIO | None = None
        self._board: Any = None  # Any: untyped library
        if run_dir is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        folder = run_dir / "metrics" / stage
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = (folder / "metrics.jsonl").open("a", encoding="utf-8", buffering=1)
        self._board = SummaryWriter(log_dir=str(run_dir / "tensorboard" / stage))

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Record `values` (tag -> number) at `step`; tags are `stage/name`, the stage is added where missing."""
        if self._lines is None:
            return
        named = {tag if "/" in tag else f"{self._stage}/{tag}": float(value) for tag, value in values.items()}
        self._lines.write(json.dumps({"step": step, "time": round(time.time(), 3), **named}) + "\n")
        for tag, value in named.items():
            self._board.add_scalar(tag, value, step)

    def text(self, tag: str, text: str, *, step: int = 0) -> None:
        """Record a text, such as a sample prompt."""
        if self._lines is not None:
            self._board.add_text(tag, text, step)

    def close(self) -> None:
        """Flush and close."""
        if self._lines is not None:
            self._lines.close()
            self._board.close()


@contextmanager
def open_tracker(job: Job[Any], world: "World | None" = None) -> Iterator[Tracker]:
    """The tracker of one start of a stage."""
    writes = world is None or world.is_main
    tracker = Tracker(job.run_dir if writes else None, job.stage.name)
    try:
        yield tracker
    finally:
        tracker.close()
