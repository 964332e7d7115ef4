"""Whether another rank is at work: a beat that comes late says no more than that it has stood still since."""

from pathlib import Path

from launch.watch.others import Others
from tests.unit.launch.watch.beat_files import a_beat, write_beat


def looked(folder: Path, *, idle: float, limit: float, silent: float, phase: str = "checkpoint") -> Others:
    """Rank 0's view of rank 1, whose beat has not been renewed for `silent` seconds."""
    write_beat(folder, a_beat(0))
    write_beat(folder, a_beat(1, phase=phase, idle=idle, limit=limit))
    others = Others(folder, 0)
    others.look(1.0)
    others.look(silent)
    return others


def test_a_rank_that_saves_for_long_is_at_work_though_its_beat_is_late(tmp_path: Path) -> None:
    others = looked(tmp_path, idle=5.0, limit=600.0, silent=20.0)
    assert not others.lives(1)
    assert others.someone_moves()


def test_a_rank_that_is_silent_for_longer_than_it_may_stand_still_is_not(tmp_path: Path) -> None:
    assert not looked(tmp_path, idle=5.0, limit=20.0, silent=16.0).someone_moves()
    assert looked(tmp_path, idle=3.0, limit=20.0, silent=16.0).someone_moves()


def test_a_rank_that_has_ended_is_not(tmp_path: Path) -> None:
    assert not looked(tmp_path, idle=0.0, limit=600.0, silent=1.0, phase="ended").someone_moves()
