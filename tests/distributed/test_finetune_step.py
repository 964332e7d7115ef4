"""What a step of the fine-tune does with its settings: schedule, clipping, decay, recomputation, in real fits."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers.models.llama.modeling_llama import LlamaAttention

from launch.distributed import World
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune, start_model
from tests.distributed.optimizer_watch import Watch, watch_optimizers
from tests.ranks import run_ranks

pytestmark = pytest.mark.slow
LR, DECAY, CLIP = TINY.lr, 0.5, 0.25
GROUPS = 2  # matrices and vectors; ZeRO steps one after the other
ONE_STEP = replace(TINY, max_steps=1, eval_every=1)
RUNS = {
    "schedule": replace(TINY, max_steps=6, warmup_ratio=0.5, min_lr_ratio=0.1, clip_norm=CLIP),
    "plain": ONE_STEP,
    "decayed": replace(ONE_STEP, weight_decay=DECAY),
    "recomputed": replace(ONE_STEP, gradient_checkpointing=True),
}


@dataclass
class Calls:
    """Forward passes of attention layers that were made to be differentiated."""

    count: int = 0


@contextmanager
def count_attention() -> Iterator[Calls]:
    calls = Calls()

    def note(module: nn.Module, _inputs: object) -> None:
        calls.count += isinstance(module, LlamaAttention) and torch.is_grad_enabled()

    handle = register_module_forward_pre_hook(note)
    try:
        yield calls
    finally:
        handle.remove()


@dataclass(frozen=True)
class Fit:
    """What was seen of a fit."""

    watch: Watch
    tracked: dict[str, list[float]]
    attention_calls: int


def every_fit(world: World, folder: Path) -> dict[str, Fit]:
    fits = {}
    for name, config in RUNS.items():
        with watch_optimizers() as watch, count_attention() as calls:
            tracked = run_finetune(world, folder / name, config)
        fits[name] = Fit(watch, tracked, calls.count)
    return fits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    prepare_run(made / "plain")
    for name in set(RUNS) - {"plain"}:
        shutil.copytree(made / "plain", made / name)
    return made


@pytest.fixture(scope="module")
def fits(folder: Path) -> dict[str, Fit]:
    by_name: dict[str, Fit] = run_ranks(every_fit, 1, folder)[0]
    return by_name


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(folder / name / "llm" / "model" / "model.safetensors")
    return tensors


def test_the_optimizer_steps_at_the_rates_of_the_schedule(fits: dict[str, Fit]) -> None:
    rates = fits["schedule"].watch.rates[::GROUPS]
    shares = [1 / 3, 2 / 3, 1, 1, 0.775, 0.325]  # three steps up, then the cosine from 1 towards 0.1
    assert rates == [[pytest.approx(LR * share)] * GROUPS for share in shares]


def test_gradients_are_clipped_to_their_norm(fits: dict[str, Fit]) -> None:
    schedule = fits["schedule"]
    assert min(schedule.tracked["finetune/grad_norm"]) > 2 * CLIP, "nothing to clip"
    assert schedule.watch.norms(GROUPS) == pytest.approx([CLIP] * 6, rel=1e-4)


def test_weight_decay_shrinks_matrices_and_leaves_vectors(folder: Path, fits: dict[str, Fit]) -> None:
    start, plain, decayed = start_model().state_dict(), weights(folder, "plain"), weights(folder, "decayed")
    for name, weight in plain.items():
        shrunk = LR * DECAY * start[name] if weight.ndim > 1 else torch.zeros_like(weight)
        torch.testing.assert_close(weight - decayed[name], shrunk, rtol=1e-3, atol=1e-7, msg=name)


def test_gradient_checkpointing_computes_every_layer_twice_and_changes_nothing(
    folder: Path, fits: dict[str, Fit]
) -> None:
    micro_steps = TINY.global_batch // TINY.per_device_batch
    once = micro_steps * TINY.scratch.num_layers
    assert fits["plain"].attention_calls == once
    assert fits["recomputed"].attention_calls == 2 * once
    plain, recomputed = weights(folder, "plain"), weights(folder, "recomputed")
    for name in plain:
        torch.testing.assert_close(recomputed[name], plain[name], rtol=1e-5, atol=1e-7)
