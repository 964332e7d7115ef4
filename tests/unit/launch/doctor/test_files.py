"""What a recipe reads, damaged or absent, and what its DeepSpeed file has to compile."""

import json
from pathlib import Path

import pytest

from launch.config import find_recipe, load_recipe
from launch.doctor.diagnoses import Diagnosis
from launch.doctor.recipe_files import check_files, compiled_ops

ZERO3 = {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}


def light(*words: str) -> list[Diagnosis]:
    recipe = load_recipe(find_recipe("demo"), list(words))
    return [diagnosis for diagnosis in check_files(recipe) if diagnosis.level != "pass"]


def test_a_base_without_weights_fails(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}', encoding="utf-8")
    (diagnosis,) = light(f"--prompts.base={tmp_path}")
    assert diagnosis.level == "fail"
    assert "a model folder without weights" in diagnosis.text


def test_raw_data_that_is_not_there_fails(tmp_path: Path) -> None:
    (diagnosis,) = light("--pair.source=amazon", "--pair.name=A-B", f"--pair.path={tmp_path / 'none'}")
    assert (diagnosis.level, diagnosis.check) == ("fail", "sources")


@pytest.mark.parametrize(
    ("changes", "ops"),
    [
        ({}, "DeepSpeedCPUAdam"),
        ({"zero_force_ds_cpu_optimizer": True}, "DeepSpeedCPUAdam"),
        ({"zero_force_ds_cpu_optimizer": False}, None),
        ({"zero_force_ds_cpu_optimizer": "auto"}, None),
        ({"zero_optimization": ZERO3}, None),
        ({"zero_optimization": {**ZERO3, "offload_param": {"device": "nvme"}}}, "AsyncIO"),
    ],
)
def test_what_a_deepspeed_file_compiles(tmp_path: Path, changes: dict[str, object], ops: str | None) -> None:
    file = tmp_path / "own.json"
    offload = {"zero_optimization": {**ZERO3, "offload_optimizer": {"device": "cpu"}}}
    file.write_text(json.dumps({**offload, **changes}), encoding="utf-8")
    assert compiled_ops(load_recipe(find_recipe("demo"), [f"--llm.deepspeed={file}"])) == ops
