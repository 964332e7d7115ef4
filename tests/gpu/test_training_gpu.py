"""The fine-tune on a GPU gives the losses of the CPU, and its model loads."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune
from tests.ranks import run_ranks
from training.base_model import load_tuned_model

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("name", ["zero3", "zero3_offload", "zero2"])
def test_a_gpu_gives_the_losses_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    config = replace(TINY, deepspeed=name)
    on_gpu = run_ranks(run_finetune, 1, prepare_run(tmp_path / "gpu"), config)[0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    on_cpu = run_ranks(run_finetune, 1, prepare_run(tmp_path / "cpu"), config)[0]
    assert on_gpu["finetune/loss"] == pytest.approx(on_cpu["finetune/loss"], rel=2e-3)
    assert load_tuned_model(tmp_path / "gpu" / "llm" / "model", precision="bf16").device.type == "cpu"


def test_bf16_on_a_gpu_stays_near_fp32(tmp_path: Path) -> None:
    losses = {}
    for precision in ("bf16", "fp32"):
        run_dir = prepare_run(tmp_path / precision)
        config = replace(TINY, precision=precision, gradient_checkpointing=True)
        losses[precision] = run_ranks(run_finetune, 1, run_dir, config)[0]["finetune/loss"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
