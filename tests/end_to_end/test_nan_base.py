"""A base whose weights hold a NaN, in the part of one rank only: all ranks end, in one line."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from tests.end_to_end.runs import TINY, kinrec, processes_of
from training.config import ScratchConfig
from training.scratch import build_model


def write_base(folder: Path, tokenizer: Path, *, row: int) -> None:
    """A small model of which one weight, in a row of its embedding, is no number."""
    words = AutoTokenizer.from_pretrained(tokenizer)
    scratch = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64)
    model = build_model(
        scratch, vocab_size=len(words), eos=words.eos_token_id, pad=words.pad_token_id, max_tokens=160, seed=1,
        dtype=torch.float32,
    )  # fmt: skip
    with torch.no_grad():
        weight = model.get_input_embeddings().weight
        assert isinstance(weight, torch.Tensor)
        weight[row, 0] = float("nan")
    model.save_pretrained(folder)
    words.save_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize("row", [0, -1], ids=["rank 0", "rank 1"])
def test_nan_in_one_ranks_part_of_a_base_ends_all_ranks_in_one_line(tmp_path: Path, tiny_run: Path, row: int) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run, run_dir)
    write_base(tmp_path / "base", tiny_run / "prompts" / "tokenizer", row=row)
    ended = kinrec("run", str(TINY), f"--run_dir={run_dir}", f"--prompts.base={tmp_path / 'base'}", timeout=400)
    assert ended.returncode == 2, ended.stderr[-4000:]
    errors = [line for line in ended.stderr.splitlines() if line.startswith("kinrec: error: ")]
    assert len(errors) == 1, ended.stderr[-4000:]
    assert "model.embed_tokens.weight holds values that are not finite; download the model again" in errors[0]
    assert "Traceback" not in ended.stderr
    assert processes_of(run_dir) == []
    assert (run_dir / "llm" / "model" / "model.safetensors").is_file(), "the earlier result is back"
