"""The fine-tune on two ranks: the same numbers as on one, the same bytes after a kill, every ZeRO file, LoRA."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from launch.artifacts import read_json, sha256_file
from launch.distributed import World
from pairs.draws import draw_rows
from tests.distributed.finetune_ranks import (
    PROMPTS,
    TINY,
    count_ranks_without_a_back_end,
    prepare_run,
    run_finetune,
    run_until_killed,
    start_model,
)
from tests.ranks import run_ranks
from training.base_model import load_tuned_model
from training.config import LoraConfig
from training.lessons.batches import collate, read_prompts
from training.tuning.losses import learnt_loss

pytestmark = pytest.mark.slow
LORA = replace(TINY, lora=LoraConfig(enabled=True, rank=2, dropout=0.1), max_steps=2)
ROOT = Path(__file__).parents[2]


def everything(world: World, folder: Path) -> dict[str, object]:
    """All runs on two ranks, in one start of the ranks."""
    results: dict[str, object] = {"zero3": run_finetune(world, folder / "zero3")}
    for name in ("zero2", "zero3_offload"):
        results[name] = run_finetune(world, folder / name, replace(TINY, deepspeed=name))
    small = replace(TINY, max_steps=2, precision="bf16", gradient_checkpointing=True)
    results["bf16"] = run_finetune(world, folder / "bf16", small)
    results["lora"] = run_finetune(world, folder / "lora", LORA)
    results["folder"] = run_finetune(world, folder / "folder", replace(TINY, max_steps=2))
    run_until_killed(world, folder / "killed", TINY, step=5)
    results["blind"] = count_ranks_without_a_back_end(world)
    return results


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders with prompts, one for each run."""
    folder = tmp_path_factory.mktemp("runs")
    prepare_run(folder / "zero3")
    for name in ("zero2", "zero3_offload", "bf16", "lora", "killed", "one", "launched"):
        shutil.copytree(folder / "zero3", folder / name)
    write_base_folder(folder / "base")
    prepare_run(folder / "folder", replace(PROMPTS, base=str(folder / "base")))
    return folder


def write_base_folder(base: Path) -> None:
    """A model folder such as a user has: made with transformers, not by us."""
    prepare_run(base.parent / "for_its_tokenizer")
    tokenizer = base.parent / "for_its_tokenizer" / "prompts" / "tokenizer"
    start_model().save_pretrained(base)
    for file in tokenizer.iterdir():
        shutil.copy(file, base)


@pytest.fixture(scope="module")
def two_ranks(prepared: Path) -> dict[str, dict[str, list[float]]]:
    logged: dict[str, dict[str, list[float]]] = run_ranks(everything, 2, prepared)[0]
    return logged


@pytest.fixture(scope="module")
def one_rank(prepared: Path, two_ranks: dict[str, object]) -> dict[str, list[float]]:
    logged: dict[str, list[float]] = run_ranks(run_finetune, 1, prepared / "one")[0]
    return logged


def test_two_ranks_match_one(two_ranks: dict[str, dict[str, list[float]]], one_rank: dict[str, list[float]]) -> None:
    for tag in ("finetune/loss", "finetune/grad_norm", "finetune/valid_loss"):
        assert two_ranks["zero3"][tag] == pytest.approx(one_rank[tag], rel=2e-4)
    assert len(one_rank["finetune/loss"]) == 6
    assert one_rank["finetune/loss"][-1] < one_rank["finetune/loss"][0] - 0.3


@pytest.mark.parametrize("name", ["zero2", "zero3_offload"])
def test_every_deepspeed_file_gives_the_same_losses(two_ranks: dict[str, dict[str, list[float]]], name: str) -> None:
    for tag in ("finetune/loss", "finetune/valid_loss"):
        assert two_ranks[name][tag] == pytest.approx(two_ranks["zero3"][tag], rel=1e-4)


def test_bf16_with_recomputed_activations_stays_near_fp32(two_ranks: dict[str, dict[str, list[float]]]) -> None:
    bf16, fp32 = two_ranks["bf16"]["finetune/loss"], two_ranks["zero3"]["finetune/loss"]
    assert bf16 == pytest.approx(fp32[:2], rel=0.02)


def test_each_rank_holds_its_share(prepared: Path, two_ranks: dict[str, object]) -> None:
    engine = read_json(prepared / "zero3" / "llm" / "engine.json")
    assert engine["world_size"] == 2
    assert engine["held_by_rank"] == [engine["parameters"] / 2] * 2


def test_resume_equals_no_stop(prepared: Path, two_ranks: dict[str, object]) -> None:
    assert not (prepared / "killed" / "llm" / "model").exists()
    run_ranks(run_finetune, 2, prepared / "killed")
    assert digests(prepared / "killed" / "llm" / "model") == digests(prepared / "zero3" / "llm" / "model")


def digests(folder: Path) -> dict[str, str]:
    return {file.name: sha256_file(file) for file in folder.iterdir()}


def test_the_saved_model_gives_the_measured_validation_loss(
    prepared: Path, two_ranks: dict[str, dict[str, list[float]]]
) -> None:
    run_dir = prepared / "zero3"
    model = load_tuned_model(run_dir / "llm" / "model", precision="fp32")
    valid = read_prompts(run_dir, "valid")
    rows = draw_rows(len(valid), TINY.eval_samples, seed=1)
    with torch.no_grad():
        summed = float(learnt_loss(model, collate(valid, rows, pad=0)))
    measured = min(two_ranks["zero3"]["finetune/valid_loss"])
    assert summed / valid.learnt_lengths[rows].sum() == pytest.approx(measured, rel=1e-4)


def test_a_model_folder_is_partitioned_and_tuned(prepared: Path, two_ranks: dict[str, dict[str, list[float]]]) -> None:
    assert two_ranks["folder"]["finetune/loss"] == pytest.approx(two_ranks["zero3"]["finetune/loss"][:2], rel=1e-2)
    assert read_json(prepared / "folder" / "llm" / "engine.json")["held_by_rank"][0] == pytest.approx(17488, rel=0.01)


def test_lora_changes_its_layers_only_and_is_merged(prepared: Path, two_ranks: dict[str, object]) -> None:
    engine = read_json(prepared / "lora" / "llm" / "engine.json")
    assert 0 < engine["trained_parameters"] < engine["parameters"] / 10
    tuned = load_file(prepared / "lora" / "llm" / "model" / "model.safetensors")
    start = start_model().state_dict()
    changed = {name for name in tuned if not torch.equal(tuned[name], start[name])}
    assert changed == {name for name in tuned if ".self_attn." in name}


def test_ranks_that_do_not_see_each_other_are_refused(two_ranks: dict[str, str]) -> None:
    assert "Accelerate counts 1, the process group 2, the launcher 2" in two_ranks["blind"]


def test_accelerate_launch_trains_on_two_ranks(prepared: Path, two_ranks: dict[str, object]) -> None:
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    file = str(ROOT / "ds_configs" / "accelerate_cpu.yaml")
    run_dir = prepared / "launched"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    started = subprocess.run(
        [*command, "--config_file", file, "-m", "tests.distributed.finetune_ranks", str(run_dir)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr[-2000:]
    assert read_json(run_dir / "llm" / "engine.json")["world_size"] == 2
    assert digests(run_dir / "llm" / "model") == digests(prepared / "zero3" / "llm" / "model")
