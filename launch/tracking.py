"""Every number goes to TensorBoard and to a JSON-lines file, written by rank 0 alone.

tensorboard --logdir runs/NAME/tensorboard

A tag has one number a step, and its steps increase, whatever was killed in between: training that goes on takes back
what an earlier start said of the steps that are done again, and a stage without steps replaces what it said at step 0.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.artifacts import write_text
from launch.stage import Job

if TYPE_CHECKING:
    from launch.board import Board
    from launch.distributed import World

log = logging.getLogger(__name__)
Line = dict[str, Any]
"""One line of the file: `step`, `time`, then tag -> number."""
NO_TAGS = ("step", "time")


class Tracker:
    """Where numbers go. On ranks other than 0 it writes nothing; call it on all."""

    def __init__(self, run_dir: Path | None, stage: str) -> None:
        self._stage = stage
        self._run_dir = run_dir
        self._writer: Board | None = None
        self._purge_step: int | None = None
        self._last: dict[str, int] = {}
        """The last step of every tag."""
        if run_dir is None:
            return
        self._path = run_dir / "metrics" / stage / "metrics.jsonl"
        self._events = run_dir / "tensorboard" / stage
        self._first_start = not self._path.is_file() and not any(self._events.glob("events.*"))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines, whole = _read(self._path)
        if not whole:  # the machine stopped while a line was written
            self._replace(lines)
        self._note(lines)
        self._file = self._path.open("a", encoding="utf-8", buffering=1)

    def go_on(self, step: int) -> None:
        """Training goes on after `step`: numbers of later steps, which an earlier start took, are taken back."""
        if self._run_dir is not None and not self._first_start:
            self._take_back(lambda line: line if line["step"] <= step else None, from_step=step + 1)

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Record `values` (tag -> number) at `step`; tags are `stage/name`, the stage is added where missing."""
        if self._run_dir is None:
            return
        named = {tag if "/" in tag else f"{self._stage}/{tag}": float(value) for tag, value in values.items()}
        if any(self._last.get(tag, -1) >= step for tag in named):
            self._take_back(lambda line: _without(line, named) if line["step"] >= step else line, from_step=step)
        line = {"step": step, "time": round(time.time(), 3), **named}
        self._file.write(json.dumps(line) + "\n")
        self._note([line])
        self._show(line)
        self._board.flush()  # what is in the one file when the process is killed is in the other, too

    def text(self, tag: str, text: str, *, step: int = 0) -> None:
        """Record a text, such as a sample prompt."""
        if self._run_dir is not None:
            self._board.add_text(tag, text, step)

    def close(self) -> None:
        """Flush and close."""
        if self._run_dir is not None:
            self._file.close()
            self._board.close()  # a start that said nothing leaves an event file as well, which takes back what it must

    def _take_back(self, keep: Callable[[Line], Line | None], *, from_step: int) -> None:
        """Keep of every line what `keep` says; TensorBoard is told all of `from_step` and after it again."""
        kept = [line for line in map(keep, _read(self._path)[0]) if line is not None]
        self._file.close()
        self._replace(kept)
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        self._last = {}
        self._note(kept)
        if self._writer is not None:
            self._writer.close()
        self._writer, self._purge_step = None, from_step
        for line in kept:
            if line["step"] >= from_step:
                self._show(line)

    @property
    def _board(self) -> "Board":
        """The event file of this start; from the step that it is told on, what earlier ones hold counts no more."""
        if self._writer is None:
            from launch.board import Board  # it brings torch

            self._writer = Board(self._events, purge_step=self._purge_step)
        return self._writer

    def _show(self, line: Line) -> None:
        for tag in line.keys() - set(NO_TAGS):
            self._board.add_scalar(tag, line[tag], line["step"], walltime=line["time"])

    def _note(self, lines: list[Line]) -> None:
        for line in lines:
            self._last |= dict.fromkeys(line.keys() - set(NO_TAGS), int(line["step"]))

    def _replace(self, lines: list[Line]) -> None:
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in lines))


@contextmanager
def open_tracker(job: Job[Any], world: "World | None" = None) -> Iterator[Tracker]:
    """The tracker of one start of a stage."""
    writes = world is None or world.is_main
    tracker = Tracker(job.run_dir if writes else None, job.stage.name)
    try:
        if not job.stage.resumes:  # it does everything again
            tracker.go_on(-1)
        yield tracker
    finally:
        tracker.close()


def _read(path: Path) -> tuple[list[Line], bool]:
    """The lines of a file that can be read, and whether they are all that it holds."""
    if not path.is_file():
        return [], True
    lines: list[Line] = []
    texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for text in texts:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int) and isinstance(line.get("time"), int | float):
            lines.append(line)
    return lines, texts[-1] == "" and len(lines) == len(texts) - 1


def _without(line: Line, tags: Mapping[str, float]) -> Line | None:
    left = {key: value for key, value in line.items() if key not in tags}
    return left if left.keys() - set(NO_TAGS) else None
