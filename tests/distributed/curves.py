"""What a stage has told of its steps: the JSON lines, and what TensorBoard's own loader makes of its event files."""

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Curves = dict[str, list[tuple[int, float]]]
"""(step, value) of every tag, in the order of the files."""


def lines_of(run_dir: Path, stage: str) -> Curves:
    """The JSON lines."""
    curves: Curves = {}
    for text in (run_dir / "metrics" / stage / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        for tag in line.keys() - {"step", "time"}:
            curves.setdefault(tag, []).append((line["step"], line[tag]))
    return curves


def board_of(run_dir: Path, stage: str) -> Curves:
    """What TensorBoard shows."""
    loaded = EventAccumulator(str(run_dir / "tensorboard" / stage)).Reload()
    curves = {tag: [(event.step, event.value) for event in loaded.Scalars(tag)] for tag in loaded.Tags()["scalars"]}
    return {tag: points for tag, points in curves.items() if points}
