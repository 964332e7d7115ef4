"""A damaged byte in the best epoch's weights never gets into the model: it is seen, and training makes them anew."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from graph.pretrain import pretrain
from graph.training import Trainer
from launch.artifacts import sha256_file
from launch.errors import InputError
from launch.steps import Reached
from launch.tracking import Tracker
from tests.graph_runs import ALONE, tiny, write_run

CONFIG = tiny()


class KilledError(Exception):
    """Stands for kill -9 in one process: nothing after it runs."""


def run(run_dir: Path) -> str:
    """Train; the digest of the model."""
    pretrain(CONFIG, run_dir=run_dir, seed=7, world=ALONE, tracker=Tracker(None, "pretrain"))
    return sha256_file(run_dir / "graph" / "model.safetensors")


def best_of(run_dir: Path) -> Path:
    return run_dir / "graph" / "checkpoints" / "best.safetensors"


def flip(path: Path) -> None:
    """One bit in the middle of the last tensor."""
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def spoil_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


@pytest.fixture
def whole(tmp_path: Path) -> str:
    """The model of a run that nothing stopped."""
    write_run(tmp_path / "whole")
    return run(tmp_path / "whole")


@pytest.mark.parametrize("spoil", [flip, spoil_header, tear, Path.unlink])
def test_a_run_that_finds_its_best_weights_damaged_begins_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    whole: str,
    spoil: Callable[[Path], None],
) -> None:
    save = Trainer.save

    def save_and_die(self: Trainer, reached: Reached) -> None:
        save(self, reached)
        self.settle()
        if reached.best_step:
            raise KilledError

    write_run(tmp_path / "stopped")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save_and_die)
        with pytest.raises(KilledError):
            run(tmp_path / "stopped")
    spoil(best_of(tmp_path / "stopped"))
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path / "stopped") == whole
    (line,) = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert line.startswith(f"{best_of(tmp_path / 'stopped')}: damaged (")
    assert line.endswith("; training starts from the beginning")


def test_weights_that_are_damaged_while_it_trains_are_refused_and_the_next_start_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: str
) -> None:
    settle = Trainer.settle

    def settle_and_spoil(self: Trainer) -> None:
        settle(self)
        flip(self.best_path)

    write_run(tmp_path / "spoilt")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "settle", settle_and_spoil)
        patch.setattr(Trainer, "save", lambda self, reached: None)
        with pytest.raises(
            InputError, match=r"best\.safetensors: damaged \(it has other content.*start the stage again"
        ):
            run(tmp_path / "spoilt")
    assert not (tmp_path / "spoilt" / "graph" / "model.safetensors").exists()
    assert run(tmp_path / "spoilt") == whole
