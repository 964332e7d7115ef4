"""The fine-tune goes on with another number of ranks: the same samples, losses and moments, for every ZeRO file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state
from safetensors.torch import load_file

from launch.distributed import World
from pairs.tables import Ints
from tests.distributed.curves import Curves, lines_of
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune
from tests.ranks import run_ranks
from training.config import LoraConfig
from training.lessons.batches import PaddedPrompts, PromptData
from training.tuning.fit import FineTune

pytestmark = pytest.mark.slow
STEPS, FIRST_STOP, SECOND_STOP = 9, 3, 6
BASE = replace(
    TINY, max_steps=STEPS, epochs=9, weight_decay=0.2, checkpoint_every=FIRST_STOP, eval_every=9, keep="last"
)
VARIANTS = {
    "zero3": BASE,
    "zero2": replace(BASE, deepspeed="zero2"),
    "zero3_offload": replace(BASE, deepspeed="zero3_offload"),
    "bf16": replace(BASE, precision="bf16"),
    "lora": replace(BASE, lora=LoraConfig(enabled=True, rank=2)),
}
TOLERANCE = {"bf16": 2e-2}
LIKE = {"zero2": "zero3", "zero3_offload": "zero3"}
"""Variants that are held to the whole run of another."""
MOMENTS = ("exp_avg", "exp_avg_sq")
State = dict[str, np.ndarray]


@dataclass
class Seen:
    """What a rank has seen of a start."""

    samples: dict[int, list[int]] = field(default_factory=dict)
    """The samples that it learnt in each step."""
    began: State = field(default_factory=dict)
    """Weights, moments and settings of the optimizer before the first step."""
    ended: State = field(default_factory=dict)
    """The same where it was stopped."""


def state_of(tuner: FineTune) -> State:
    """The optimizer's state over all ranks; a collective."""
    zero = tuner.tuning.model.optimizer
    inner = zero.optimizer
    state = flat_state(zero, tuner.world) if hasattr(zero, "bit16_groups") else parameter_state(tuner)
    state["steps"] = np.array([float(own["step"]) for own in inner.state.values() if "step" in own])
    state["decays"] = np.array([group["weight_decay"] for group in inner.param_groups])
    return {name: value.copy() for name, value in state.items()}


def parameter_state(tuner: FineTune) -> State:
    """Weights and moments by the parameter's name, as DeepSpeed gathers them under ZeRO-3."""
    state: State = {}
    for name, weight in tuner.tuning.model.module.named_parameters():
        if weight.requires_grad:
            state[name] = safe_get_full_fp32_param(weight).numpy()
            for moment in MOMENTS:
                state[f"{name} {moment}"] = safe_get_full_optimizer_state(weight, moment).numpy()
    return state


def flat_state(zero: Any, world: World) -> State:
    """The same under ZeRO-2, where a rank holds a piece of each group's one long vector, padded at its end."""
    state: State = {}
    for group, (weights, flat) in enumerate(zip(zero.bit16_groups, zero.single_partition_of_fp32_groups, strict=True)):
        pieces = {"weights": flat, **{moment: zero.optimizer.state[flat][moment] for moment in MOMENTS}}
        for name, piece in pieces.items():
            whole = torch.cat(world.gather(piece))[: sum(weight.numel() for weight in weights)]
            state[f"{group} {name}"] = whole.numpy()
    return state


@contextmanager
def watched(stop: int | None) -> Iterator[Seen]:
    """See what a fine-tune does; where `stop` is given, stop dead before that step."""
    seen = Seen()
    step_of, batch_of = FineTune.step, PromptData.batch

    def step(tuner: FineTune, at: int) -> None:
        if at > 0 and not seen.samples:
            seen.began = state_of(tuner)
        if at == stop:
            seen.ended = state_of(tuner)
            raise KeyboardInterrupt
        seen.samples[at] = []
        step_of(tuner, at)

    def noted(data: PromptData, share: Ints, *, step_rows: Ints, pad: int) -> PaddedPrompts:
        if torch.is_grad_enabled():  # a training step, not a validation
            seen.samples[max(seen.samples)] += [int(data.dataset[int(row)]["sample"]) for row in share]
        return batch_of(data, share, step_rows=step_rows, pad=pad)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FineTune, "step", step)
        patch.setattr(PromptData, "batch", noted)
        yield seen


def go(world: World, folder: Path, stop: int | None, per_device_batch: int = 2) -> dict[str, Seen]:
    """Every variant of `folder` up to `stop`."""
    by_variant = {}
    for name, config in VARIANTS.items():
        if not (folder / name).is_dir():
            continue
        with watched(stop) as seen:
            try:
                run_finetune(world, folder / name, replace(config, per_device_batch=per_device_batch))
            except KeyboardInterrupt:
                assert stop is not None
        by_variant[name] = seen
    return by_variant


def begin(world: World, folder: Path) -> tuple[dict[str, Seen], dict[str, Seen]]:
    """Whole runs, and others that stop."""
    return go(world, folder / "whole", None), go(world, folder / "changed", FIRST_STOP)


@dataclass(frozen=True)
class Went:
    """Where the runs are, and what all ranks of every start have seen, by variant."""

    folder: Path
    whole: list[dict[str, Seen]]
    starts: list[list[dict[str, Seen]]]
    converted: dict[str, list[str]]
    """The universal forms that lay beside the checkpoints after the second start."""


@pytest.fixture(scope="module")
def went(tmp_path_factory: pytest.TempPathFactory) -> Went:
    folder = tmp_path_factory.mktemp("elastic")
    prepare_run(folder / "run")
    for kind in ("whole", "changed"):
        for name in VARIANTS if kind == "changed" else VARIANTS.keys() - LIKE.keys():
            shutil.copytree(folder / "run", folder / kind / name)
    began = run_ranks(begin, 2, folder)
    second = run_ranks(go, 1, folder / "changed", SECOND_STOP)
    checkpoints = {name: folder / "changed" / name / "llm" / "checkpoints" for name in VARIANTS}
    converted = {name: sorted(path.name for path in there.iterdir()) for name, there in checkpoints.items()}
    third = run_ranks(go, 3, folder / "changed", None, 1)
    return Went(folder, [whole for whole, _ in began], [[first for _, first in began], second, third], converted)


def samples_of(ranks: list[dict[str, Seen]], name: str) -> dict[int, list[int]]:
    """The samples of each step over all ranks."""
    steps = ranks[0][name].samples
    return {step: sorted(sample for rank in ranks for sample in rank[name].samples[step]) for step in steps}


@pytest.mark.parametrize("name", VARIANTS)
def test_zero3_2_1_3_ranks(went: Went, name: str) -> None:
    like = LIKE.get(name, name)
    expected = samples_of(went.whole, like)
    assert {len(samples) for samples in expected.values()} == {BASE.global_batch}
    assert {step: samples for start in went.starts for step, samples in samples_of(start, name).items()} == expected
    for before, after in ((went.starts[0], went.starts[1]), (went.starts[1], went.starts[2])):
        ended, began = before[0][name].ended, after[0][name].began
        assert ended.keys() == began.keys()
        for key in ended.keys() - {"steps"}:
            np.testing.assert_array_equal(began[key], ended[key], err_msg=key)
        assert set(began["steps"]) == set(ended["steps"])
    assert set(went.starts[1][0][name].ended["steps"]) == {SECOND_STOP}, "steps of the optimizer were counted twice"
    runs = [went.folder / "whole" / like, went.folder / "changed" / name]
    curves: list[Curves] = [lines_of(run_dir, "finetune") for run_dir in runs]
    for tag in ("finetune/loss", "finetune/valid_loss", "finetune/grad_norm"):
        whole, changed = (dict(curve[tag]) for curve in curves)
        assert list(changed) == list(whole)
        assert list(changed.values()) == pytest.approx(list(whole.values()), rel=TOLERANCE.get(name, 1e-5)), tag
    assert [value for _, value in curves[1]["finetune/world_size"]] == [2.0] * 3 + [1.0] * 3 + [3.0] * 3
    one, other = (load_file(run_dir / "llm" / "model" / "model.safetensors") for run_dir in runs)
    assert one.keys() <= other.keys()  # ZeRO-2 writes the tied head beside the embeddings
    if name not in TOLERANCE:
        for key, weight in one.items():
            torch.testing.assert_close(other[key], weight, rtol=1e-4, atol=1e-5, msg=key)


def test_the_universal_form_goes_with_the_next_checkpoint(went: Went) -> None:
    for names in went.converted.values():
        assert names == ["step-000000003", "step-000000006"]
