"""Steps that go wrong, in real fits on two ranks: no numbers end it before they are saved, a spike is stepped over."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from launch.distributed import World
from launch.errors import InputError
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune, tracked
from tests.distributed.optimizer_watch import watch_optimizers
from tests.ranks import run_ranks
from training.lessons.batches import PaddedPrompts
from training.tuning import guards
from training.tuning.engine import Tuning
from training.tuning.fit import FineTune

pytestmark = pytest.mark.slow
BAD_STEP = 3
"""Counted from 0."""
CAREFUL = replace(TINY, skip_spikes=2.0, checkpoint_every=1)
RARELY_LOGGED = replace(TINY, checkpoint_every=1, log_every=100, eval_every=100)
GROUPS = 2  # matrices and vectors; ZeRO steps one after the other


@dataclass
class Outcome:
    """What became of the fits."""

    refusal: str
    rates: list[list[float]]
    idle: str


@contextmanager
def losses_times(factor: float, *, at: int) -> Iterator[None]:
    """Multiply this rank's losses by `factor` in the step `at`."""
    plain_step, plain_loss = FineTune.step, Tuning.loss
    now = -1

    def step(self: FineTune, step: int) -> None:
        nonlocal now
        now = step
        plain_step(self, step)

    def loss(self: Tuning, batch: PaddedPrompts) -> torch.Tensor:
        return plain_loss(self, batch) * (factor if now == at and torch.is_grad_enabled() else 1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FineTune, "step", step)
        patch.setattr(Tuning, "loss", loss)
        yield


def go_wrong(world: World, folder: Path) -> Outcome:
    bad = float("nan") if world.rank == 1 else 1.0
    with losses_times(bad, at=BAD_STEP), pytest.raises(InputError) as refused:
        run_finetune(world, folder / "nan", RARELY_LOGGED)
    with pytest.MonkeyPatch.context() as patch, losses_times(30.0, at=BAD_STEP), watch_optimizers() as watch:
        patch.setattr(guards, "SETTLED", 2)
        run_finetune(world, folder / "spike", CAREFUL)
    with pytest.raises(InputError) as idle:
        run_finetune(world, folder / "idle", replace(TINY, global_batch=1))
    return Outcome(str(refused.value), watch.rates, str(idle.value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    prepare_run(made / "nan")
    for name in ("spike", "idle"):
        shutil.copytree(made / "nan", made / name)
    return made


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> list[Outcome]:
    of_ranks: list[Outcome] = run_ranks(go_wrong, 2, folder)
    return of_ranks


def test_a_step_of_one_rank_that_made_no_numbers_ends_all_ranks_in_one_line(outcomes: list[Outcome]) -> None:
    assert outcomes[0].refusal == outcomes[1].refusal
    assert f"at step {BAD_STEP + 1}: nothing of this step was saved; lower llm.lr" in outcomes[0].refusal


def test_nothing_of_that_step_was_saved(folder: Path, outcomes: list[Outcome]) -> None:
    saved = sorted(path.name for path in (folder / "nan" / "llm" / "checkpoints").glob("step-*"))
    assert saved == [f"step-{step:09d}" for step in (BAD_STEP - 1, BAD_STEP)]
    assert not (folder / "nan" / "llm" / "model").exists()


def test_a_spike_leaves_the_weights_as_they_are(folder: Path, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        stays = [not any(rates) for rates in outcome.rates[::GROUPS]]
        assert stays == [step == BAD_STEP for step in range(6)]
    assert tracked(folder / "spike")["finetune/skipped_steps"] == [0, 0, 0, 1, 0, 0]


def test_ranks_that_would_never_work_are_refused(outcomes: list[Outcome]) -> None:
    assert "llm.global_batch is 1, fewer than the 2 ranks" in outcomes[0].idle
