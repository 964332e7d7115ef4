"""The arithmetic of `auto`: what this processor computes natively, and what an interrupted start had."""

from pathlib import Path

import pytest
import torch

from launch.artifacts import write_json
from launch.distributed import World
from training.config import LlmConfig, Precision
from training.finetune import choose_precision
from training.precision import resolve_precision

CPU = torch.device("cpu")
AUTO = LlmConfig(precision="auto")
ALONE = World(rank=0, size=1, local_rank=0, device=CPU)
CPUINFO = Path("/proc/cpuinfo")


@pytest.mark.skipif(not CPUINFO.is_file(), reason="no /proc/cpuinfo to ask what the processor can")
def test_auto_is_bf16_exactly_where_the_processor_computes_it() -> None:
    native = {"amx_bf16", "avx512_bf16"} & set(CPUINFO.read_text(encoding="utf-8").split())
    assert resolve_precision("auto", CPU) == ("bf16" if native else "fp32")


@pytest.mark.parametrize("said", ["bf16", "fp32"])
def test_a_named_precision_is_taken_as_it_is(said: Precision) -> None:
    assert resolve_precision(said, CPU) == said


@pytest.mark.parametrize("began", ["bf16", "fp32"])
def test_a_resumed_start_keeps_what_auto_became(tmp_path: Path, began: Precision) -> None:
    write_json(tmp_path / "engine.json", {"precision": began})
    (tmp_path / "checkpoints").mkdir()
    assert choose_precision(AUTO, tmp_path, ALONE) == began


def test_a_new_start_asks_the_device_again(tmp_path: Path) -> None:
    other = "bf16" if resolve_precision("auto", CPU) == "fp32" else "fp32"
    write_json(tmp_path / "engine.json", {"precision": other})
    assert choose_precision(AUTO, tmp_path, ALONE) == resolve_precision("auto", CPU)
