"""What a stage's processes are told of the watch over them, by the command or by their own recipe."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from launch.watch.marks import watch_folder

if TYPE_CHECKING:
    from launch.config import LaunchConfig
    from launch.stages import Stage

WATCH = "KINREC_WATCH"
"""What the command hands to the ranks: JSON of a `Task`."""
DEFAULT_SECONDS = 600.0


@dataclass(frozen=True)
class Task:
    """What is to be watched."""

    stage: str
    folder: str
    """`RUN/logs/STAGE`."""
    module: str = ""
    """Of the stage: a launcher that inherits this is not it."""
    start: float = DEFAULT_SECONDS
    """Seconds to the first step, and for a long piece of work."""
    step: float = DEFAULT_SECONDS
    """Seconds for every later step."""
    limits: bool = True
    """Whether the time-outs count; a stage that is one process waits for nobody."""

    def __str__(self) -> str:
        return json.dumps(vars(self))


def task_of(stage: "Stage", *, run_dir: Path, launch: "LaunchConfig") -> Task:
    """The watch over a stage of a run."""
    return Task(
        stage=stage.name,
        folder=str(watch_folder(run_dir.resolve(), stage.name)),
        module=stage.module,
        start=launch.start_timeout,
        step=launch.step_timeout,
        limits=stage.starter != "python",
    )


def handed_task() -> Task | None:
    """What the command that started this process hands over."""
    text = os.environ.get(WATCH)
    return Task(**json.loads(text)) if text else None
