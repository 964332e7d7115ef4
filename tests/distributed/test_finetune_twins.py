"""`llm.twins` in real fits: as the prompts apart, one rank as two, a resumed one as one without a stop."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from launch.artifacts import sha256_file
from launch.distributed import World
from tests.distributed.finetune_ranks import PROMPTS, TINY, prepare_run, run_finetune, run_until_killed
from tests.ranks import run_ranks
from training import finetune as finetune_module
from training.finetune import users_of
from training.lessons.batches import PaddedPrompts, PromptData, collate, read_prompts
from training.lessons.twins import ALONE, TwinData, with_twins
from training.prompts.pieces import Ints

pytestmark = pytest.mark.slow
# Steps of three rows for two ranks of one row at a time: in the second micro-step one rank has nothing.
TWINS = replace(TINY, twins=True, learn="items", epochs=2, global_batch=6, max_steps=9)
LOSSES = ("finetune/loss", "finetune/valid_loss", "finetune/grad_norm")
STRANGERS = 7
"""Prompts that are told to be of users of their own."""


def users_with_strangers(prompts: PromptData, run_dir: Path) -> Ints:
    user = users_of(prompts, run_dir)
    user[:STRANGERS] = -1 - np.arange(STRANGERS)
    return user


def apart(data: TwinData, share: Ints, *, step_rows: Ints, pad: int) -> PaddedPrompts:
    """What `TwinData.batch` gives, with every prompt in a row of its own."""
    return collate(data.prompts, share, pad=pad)


def fit(world: World, folder: Path) -> dict[str, list[float]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_module, "users_of", users_with_strangers)
        return run_finetune(world, folder, TWINS)


def on_two_ranks(world: World, folder: Path) -> dict[str, dict[str, list[float]]]:
    fits = {"two": fit(world, folder / "two")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_module, "users_of", users_with_strangers)
        run_until_killed(world, folder / "killed", TWINS, step=5)
        patch.setattr(TwinData, "batch", apart)
        fits["apart"] = run_finetune(world, folder / "apart", TWINS)
    return fits


def test_twins_teach_what_their_prompts_do(tmp_path: Path) -> None:
    prepare_run(tmp_path / "two", replace(PROMPTS, order="own_first"))
    for name in ("apart", "killed", "one"):
        shutil.copytree(tmp_path / "two", tmp_path / name)
    prompts = read_prompts(tmp_path / "two", "train", items=True)
    data = with_twins(prompts, users_with_strangers(prompts, tmp_path / "two"))
    assert STRANGERS <= (data.twin == ALONE).sum() < len(data) / 2

    fits: dict[str, dict[str, list[float]]] = run_ranks(on_two_ranks, 2, tmp_path)[0]
    fits["one"] = run_ranks(fit, 1, tmp_path / "one")[0]
    for name in ("apart", "one"):
        for tag in LOSSES:
            assert fits[name][tag] == pytest.approx(fits["two"][tag], rel=2e-4), (name, tag)
    assert len(fits["two"]["finetune/loss"]) == TWINS.max_steps

    assert not (tmp_path / "killed" / "llm" / "model").exists()
    run_ranks(fit, 2, tmp_path / "killed")
    killed, whole = (tmp_path / run / "llm" / "model" / "model.safetensors" for run in ("killed", "two"))
    assert sha256_file(killed) == sha256_file(whole)
