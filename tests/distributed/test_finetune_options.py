"""How layers, loss and optimizer are computed says nothing of what is learnt: real fits on two ranks, side by side."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from launch.artifacts import read_json, sha256_file
from launch.distributed import World
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune, run_until_killed
from tests.ranks import run_ranks
from training.config import LoraConfig, ScratchConfig
from training.scratch import build_model
from training.tuning import engine as engine_module
from training.tuning import optimizer as optimizer_module

pytestmark = pytest.mark.slow
WIDE = ScratchConfig(hidden_size=64, num_layers=2, num_heads=2, intermediate_size=128)
OPTIONS = {
    "eager": replace(TINY, attention="eager"),
    "sdpa": replace(TINY, attention="sdpa"),
    "compiled": replace(TINY, compile=True),
    "checkpointed": replace(TINY, compile=True, gradient_checkpointing=True),
    "8 bit": replace(TINY, optimizer="adamw_8bit"),
    "4 bit": replace(TINY, deepspeed="zero2", lora=LoraConfig(enabled=True, rank=4, base="nf4"), scratch=WIDE),
}

KILLED = ("compiled", "8 bit", "4 bit")


def plain_adam(*args: object, **settings: object) -> torch.optim.AdamW:
    """AdamW as torch makes it unless it is told otherwise."""
    settings.pop("fused")
    return torch.optim.AdamW(*args, **settings)  # type: ignore[arg-type]  # passed on as they come


def run_until_killed_at_5(world: World, folder: Path) -> None:
    run_until_killed(world, folder, OPTIONS["8 bit"], step=5)


def every_option(world: World, folder: Path) -> dict[str, dict[str, list[float]]]:
    fits = {name: run_finetune(world, folder / name, config) for name, config in OPTIONS.items()}
    for name in KILLED:
        run_until_killed(world, folder / f"{name}_killed", OPTIONS[name], step=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "fuse_head", lambda model: False)
        fits["all logits"] = run_finetune(world, folder / "all_logits", TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizer_module, "make_adam", plain_adam)
        fits["plain adam"] = run_finetune(world, folder / "plain_adam", TINY)
    return fits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    prepare_run(made / "eager")
    for name in [*OPTIONS, *(f"{name}_killed" for name in KILLED), "all_logits", "plain_adam"]:
        if name != "eager":
            shutil.copytree(made / "eager", made / name)
    return made


@pytest.fixture(scope="module")
def fits(folder: Path) -> dict[str, dict[str, list[float]]]:
    by_name: dict[str, dict[str, list[float]]] = run_ranks(every_option, 2, folder)[0]
    return by_name


@pytest.mark.parametrize("name", ["sdpa", "compiled", "checkpointed", "all logits", "plain adam"])
def test_losses_do_not_depend_on_how_they_are_computed(fits: dict[str, dict[str, list[float]]], name: str) -> None:
    for tag in ("finetune/loss", "finetune/valid_loss", "finetune/grad_norm"):
        assert fits[name][tag] == pytest.approx(fits["eager"][tag], rel=2e-4)
    assert len(fits[name]["finetune/loss"]) == 6


def test_moments_of_8_bits_learn_nearly_the_same(fits: dict[str, dict[str, list[float]]]) -> None:
    of_8, of_32 = (fits[name]["finetune/loss"] for name in ("8 bit", "eager"))
    assert of_8[0] == pytest.approx(of_32[0], rel=1e-5)
    assert of_8 == pytest.approx(of_32, rel=0.02)
    assert of_8 != of_32
    assert of_8[-1] < of_8[0]


@pytest.mark.parametrize("name", KILLED)
def test_a_run_that_resumes_equals_one_without_a_stop(folder: Path, fits: dict[str, object], name: str) -> None:
    assert not (folder / f"{name}_killed" / "llm" / "model").exists()
    run_ranks(run_finetune, 2, folder / f"{name}_killed", OPTIONS[name])
    killed, whole = (folder / run / "llm" / "model" / "model.safetensors" for run in (f"{name}_killed", name))
    assert sha256_file(killed) == sha256_file(whole)


def test_adapters_learn_beside_weights_of_4_bits_and_are_added_to_what_those_stand_for(
    folder: Path, fits: dict[str, dict[str, list[float]]]
) -> None:
    losses = fits["4 bit"]["finetune/loss"]
    assert losses[-1] < losses[0]
    plain = build_model(WIDE, vocab_size=400, eos=1, pad=0, max_tokens=140, seed=1, dtype=torch.float32)
    start, tuned = plain.state_dict(), load_file(folder / "4 bit" / "llm" / "model" / "model.safetensors")
    assert set(tuned) <= set(start)
    engine = read_json(folder / "4 bit" / "llm" / "engine.json")
    assert engine["parameters"] - engine["trained_parameters"] == sum(weight.numel() for weight in plain.parameters())
    for name, weight in tuned.items():
        assert weight.dtype == start[name].dtype
        assert torch.equal(weight, start[name]) != (".self_attn." in name or ".mlp." in name)
        if ".mlp." in name:  # no adapter there: the nearest of 16 values, in blocks of 64
            assert (weight - start[name]).abs().max() < 0.17 * start[name].abs().max()


def test_moments_of_8_bits_belong_to_as_many_ranks(folder: Path, fits: dict[str, object]) -> None:
    shutil.copytree(folder / "eager", folder / "8 bit_other", ignore=shutil.ignore_patterns("llm"))
    run_ranks(run_until_killed_at_5, 2, folder / "8 bit_other")
    with pytest.raises(Exception, match=r"moments of llm\.optimizer=adamw_8bit belong"):
        run_ranks(run_finetune, 1, folder / "8 bit_other", OPTIONS["8 bit"])
