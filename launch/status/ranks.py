"""The ranks of a stage at work, or where they were last seen: from their beats, the metrics and the starts."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch.stages import Stage
from launch.state.history import read_history
from launch.watch.beats import OVER
from launch.watch.marks import Beat, read_beats, watch_folder

SILENT_SECONDS = 15.0
"""Without a beat for longer, a rank does not live; clocks of nodes may differ by some seconds."""
TAIL_BYTES = 1 << 14
MOST_METRICS = 6
MOST_HOSTS = 4


def living(beats: Mapping[int, Beat], *, now: float) -> list[Beat]:
    """The ranks that have given a sign of life of late."""
    return [
        beat for beat in beats.values() if beat.phase not in OVER and now - beat.alive < SILENT_SECONDS + 2 * beat.every
    ]


def rank_lines(run_dir: Path, stage: Stage, *, at_work: bool, now: float) -> list[str]:
    """How far a stage that has not finished is.

    Args:
        at_work: some process holds the run, as far as can be seen from here.
    """
    beats = read_beats(watch_folder(run_dir, stage.name))
    alive = living(beats, now=now)
    lost = [beat for beat in beats.values() if beat.phase not in OVER and beat not in alive]
    lines = []
    if alive:
        lines.append(_moving(alive))
        lines += [_late(beat, now) for beat in alive if now - beat.moved > beat.limit / 2]
    ended = _ended(run_dir, stage)
    lost = [beat for beat in lost if alive or beat.alive > ended]  # who ended with its stage was not killed
    lines += [_lost(beat) for beat in lost[:MOST_HOSTS]] if alive or not at_work else []
    if alive or lost:
        lines += _metrics(run_dir, stage)
    return lines + _starts(run_dir, stage)


def _moving(beats: list[Beat]) -> str:
    first = min(beats, key=lambda beat: (beat.step is None, beat.step, beat.rank))
    hosts = sorted({beat.host for beat in beats})
    named = ", ".join(hosts[:MOST_HOSTS]) + (f" and {len(hosts) - MOST_HOSTS} more" if len(hosts) > MOST_HOSTS else "")
    words = f"{len(beats)} of {first.ranks} rank(s) on {named}: {first.position}"
    if first.rate:
        words += f", {first.rate:.3g}/s"
        if first.total is not None and first.step is not None:
            words += f", {duration((first.total - first.step) / first.rate)} left"
    return words


def _late(beat: Beat, now: float) -> str:
    return (
        f"rank {beat.rank} on {beat.host} has not moved for {duration(now - beat.moved)} of {duration(beat.limit)} "
        f"({beat.position})"
    )


def _lost(beat: Beat) -> str:
    return f"rank {beat.rank} was killed or cut off: last beat {clock(beat.alive)} on {beat.host} ({beat.position})"


def _metrics(run_dir: Path, stage: Stage) -> list[str]:
    """The last values of the curves, those of one step; none of an earlier start, which are not the present ones."""
    latest: dict[str, Any] = {}
    for line in _tail(run_dir / "metrics" / stage.name / "metrics.jsonl").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # the first may be cut, the last may be torn
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            latest = record
    if _written(latest) < _started(run_dir, stage):
        return []
    numbers = {
        name.rpartition("/")[2]: value
        for name, value in latest.items()
        if name not in {"step", "time"} and isinstance(value, (int, float))
    }
    if not numbers:
        return []
    shown = ", ".join(f"{name} {value:.4g}" for name, value in list(numbers.items())[:MOST_METRICS])
    return [f"{shown} (step {latest['step']})"]


def _written(record: Mapping[str, Any]) -> float:
    moment = record.get("time")
    return float(moment) if isinstance(moment, (int, float)) else 0.0


def _started(run_dir: Path, stage: Stage) -> float:
    """When the last start began; 0 where none is written down, as of a launcher that a user started."""
    starts = [line for line in read_history(run_dir, stage) if line["event"] == "start"]
    return _written(starts[-1]) if starts else 0.0


def _ended(run_dir: Path, stage: Stage) -> float:
    """When the last start ended by itself; 0 where it did not."""
    history = read_history(run_dir, stage)
    return _written(history[-1]) if history and history[-1]["event"] != "start" else 0.0


def _starts(run_dir: Path, stage: Stage) -> list[str]:
    history = read_history(run_dir, stage)
    starts = sum(line["event"] == "start" for line in history)
    ends = [line for line in history if line["event"] != "start"]
    if starts < 2 and not ends:
        return []
    words = f"started {starts} time(s)"
    if ends:
        last = ends[-1]
        words += f"; last ended: {last['event']} {clock(last.get('time'))} on {last.get('host')}"
        words += f", {last['why']}" if last.get("why") else ""
    return [words]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""


def clock(moment: object) -> str:
    """A time of today as 14:03:22, another with its date."""
    try:
        assert isinstance(moment, (int, float))
        then = time.localtime(moment)
    except (AssertionError, OverflowError, ValueError, OSError):
        return "at an unknown time"
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)


def duration(seconds: float) -> str:
    """Seconds in words: 12 s, 3 min, 2 h 10 min."""
    whole = max(0, round(min(seconds, 1e9)))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
