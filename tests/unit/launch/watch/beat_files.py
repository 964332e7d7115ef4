"""Beats as ranks write them, and beats as they are read."""

import time
from pathlib import Path
from typing import Any

from launch.watch.marks import BEAT, Beat, rank_file, write_record


def a_beat(rank: int, **changed: Any) -> Beat:
    """Rank `rank` of two, in step 41."""
    now = time.time()
    values: dict[str, Any] = {
        "rank": rank, "ranks": 2, "host": f"node{rank + 1}", "pid": 1, "stage": "finetune", "phase": "finetune",
        "step": 41, "total": 300, "moved": now, "alive": now, "idle": 0.0, "limit": 600.0, "every": 1.0, "rate": 2.0,
        "alone": False, "timed_out": {},
    }  # fmt: skip
    return Beat(**values | changed)


def write_beat(folder: Path, beat: Beat) -> None:
    """As the rank itself would."""
    folder.mkdir(parents=True, exist_ok=True)
    write_record(rank_file(folder, beat.rank, BEAT), beat._asdict())
