"""Other families of base models go the same way as ours: prompts, fine-tune under ZeRO-3, beams and rankings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    set_seed,
)

from launch.artifacts import read_json
from tests.distributed.finetune_ranks import PROMPTS, TINY, prepare_run, run_finetune
from tests.ranks import run_ranks
from tests.tiny_generation import FREE, generate_alone
from training.base_model import load_tokenizer_folder

pytestmark = pytest.mark.slow
SIZE: dict[str, Any] = {  # Any: what a config takes
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
FAMILIES: dict[str, tuple[type[PretrainedConfig], type[PreTrainedModel]]] = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM),  # scales, caps and normalises in its own way
}
TEMPLATE = "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
REPLY = "{% if add_generation_prompt %}<s>assistant: {% endif %}"


def write_base(folder: Path, tokens_of: Path, family: str, *, chat: bool) -> None:
    """A model of the family with random weights, with or without a chat template."""
    tokenizer = load_tokenizer_folder(tokens_of / "prompts" / "tokenizer")
    tokenizer.chat_template = TEMPLATE + REPLY if chat else None
    make_config, make_model = FAMILIES[family]
    set_seed(3)
    special: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "dtype": "float32",
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = make_model(make_config(**SIZE, **special))
    model.to(torch.float32).save_pretrained(folder)  # type: ignore[arg-type]  # its stub wants a module
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_family_learns_ranks_and_writes(tmp_path: Path, family: str, chat: bool) -> None:
    write_base(tmp_path / "base", prepare_run(tmp_path / "words"), family, chat=chat)
    run_dir = prepare_run(tmp_path / "run", replace(PROMPTS, base=str(tmp_path / "base")))
    config = replace(TINY, task="both", negatives=4, max_steps=4, eval_every=2)
    told = run_ranks(run_finetune, 2, run_dir, config)[0]
    assert told["finetune/valid_loss"][-1] < told["finetune/valid_loss"][0]
    assert read_json(run_dir / "llm/model/config.json")["model_type"] == family
    for by in ("rank", "write"):
        generate_alone(replace(FREE, by=by), run_dir)
        said = read_json(run_dir / "generated/generation.json")
        assert said["by"] == by
        lists = pq.read_table(run_dir / "lists/llm_test.parquet")
        assert lists.num_rows > 0
        (run_dir / "generated/generation.json").unlink()
        for split in ("valid", "test"):
            (run_dir / f"lists/llm_{split}.parquet").unlink()
