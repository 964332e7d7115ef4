"""Attributes by a local model: padding and batches change no answer, a killed run goes on, faults are told early."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from launch.errors import InputError
from pairs.attributes.local_model import LocalModel, open_local_model
from pairs.attributes.source import Prompt
from pairs.attributes_config import LlmAttributesConfig
from tests.taught_model import EXPECTED, ITEMS, LEARNED, add, config, copied, lines, write_taught_model
from training.config import ScratchConfig
from training.scratch import build_model

COUNTS = {"answered": 7, "empty": 1, "bad": 1, "missing": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    write_taught_model(path)
    return path


def prompts_of(settings: LlmAttributesConfig) -> list[Prompt]:
    return [Prompt(str(place), settings.prompt, domain, title) for place, (domain, title) in enumerate(LEARNED)]


def watch(monkeypatch: pytest.MonkeyPatch, *, stop_at: int | None = None) -> list[list[int]]:
    """Lengths of the prompts of every batch that the model is given; it is killed before batch `stop_at`."""
    batches: list[list[int]] = []
    inner = LocalModel._continue

    def outer(self: LocalModel, prompts: list[list[int]]) -> list[str]:
        if len(batches) == stop_at:
            raise KeyboardInterrupt
        batches.append([len(tokens) for tokens in prompts])
        return inner(self, prompts)

    monkeypatch.setattr(LocalModel, "_continue", outer)
    return batches


def test_answers_are_used_and_a_bad_one_falls_back_to_the_catalogue(folder: Path, tmp_path: Path) -> None:
    attributes, facts = add(config(folder, tmp_path))
    assert attributes == EXPECTED
    assert facts == {"source": "local", "model": str(folder), **COUNTS}
    rows = lines(tmp_path)
    assert len(rows) == len(LEARNED), "a title that two items share is asked about once, in each domain"
    assert [row["raw"] for row in rows if "raw" in row] == ["Sorry."]
    assert {row["model"] for row in rows} == {str(folder)}


@pytest.mark.parametrize("batch_size", [3, 100])
def test_batches_answer_as_one_by_one(folder: Path, tmp_path: Path, batch_size: int) -> None:
    add(config(folder, tmp_path, batch_size=1))
    alone = lines(tmp_path)
    (tmp_path / "answers.jsonl").unlink()
    add(config(folder, tmp_path, batch_size=batch_size))
    assert lines(tmp_path) == alone


def test_padding_on_the_right_would_spoil_answers(folder: Path, tmp_path: Path) -> None:
    source = open_local_model(config(folder, tmp_path, batch_size=100))
    prompts = prompts_of(config(folder, tmp_path))
    left = dict(source.answer(prompts))
    assert [left[prompt.title_hash] for prompt in prompts] == list(LEARNED.values())
    source.tokenizer.padding_side = "right"
    batch = source.tokenizer([prompt.text for prompt in prompts], padding=True, return_tensors="pt")
    written = source.model.generate(**batch)[:, batch["input_ids"].shape[1] :]
    right = source.tokenizer.batch_decode(written, skip_special_tokens=True)
    assert sum(text != answer for text, answer in zip(right, LEARNED.values(), strict=True)) >= len(LEARNED) - 1


def test_padding_does_not_shift_learned_positions(folder: Path, tmp_path: Path) -> None:
    path = copied(folder, tmp_path)
    sizes: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    shape = GPT2Config(vocab_size=400, bos_token_id=1, eos_token_id=1, initializer_range=0.5, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(shape).save_pretrained(path)
    prompts = prompts_of(config(path, tmp_path))
    together = open_local_model(config(path, tmp_path, batch_size=8))
    alone = open_local_model(config(path, tmp_path, batch_size=1))
    answers = dict(together.answer(prompts))
    assert answers == dict(alone.answer(prompts))
    assert len(set(answers.values())) > 1


def test_killed_run_goes_on_where_it_was_and_ends_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(folder, tmp_path)
    add(settings)
    unbroken = lines(tmp_path)
    path = tmp_path / "answers.jsonl"
    path.unlink()
    with monkeypatch.context() as patch:
        watch(patch, stop_at=1)
        with pytest.raises(KeyboardInterrupt):
            add(settings)
    assert path.read_bytes().count(b"\n") == 3
    path.write_bytes(path.read_bytes()[:-10])  # killed while it wrote a line
    batches = watch(monkeypatch)
    assert add(settings)[0] == EXPECTED
    assert lines(tmp_path) == unbroken
    assert sum(map(len, batches)) == len(LEARNED) - 2


def test_batch_is_on_disk_before_the_next_begins(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept = tmp_path / "answers.jsonl", []
    inner = LocalModel._continue

    def outer(self: LocalModel, prompts: list[list[int]]) -> list[str]:
        kept.append(path.read_bytes().count(b"\n"))
        return inner(self, prompts)

    monkeypatch.setattr(LocalModel, "_continue", outer)
    add(config(folder, tmp_path))
    assert kept == [0, 3, 6]


def test_nothing_is_loaded_when_all_is_answered(folder: Path, tmp_path: Path) -> None:
    settings = config(folder, tmp_path)
    expected = add(settings)
    moved = folder.rename(folder.with_name("moved"))
    try:
        assert add(settings) == expected
    finally:
        moved.rename(folder)


def test_prompts_of_a_batch_are_about_as_long(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = watch(monkeypatch)
    add(config(folder, tmp_path))
    lengths = [length for batch in batches for length in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_prompt_that_does_not_fit_is_refused_and_what_was_answered_is_kept(folder: Path, tmp_path: Path) -> None:
    add(config(folder, tmp_path))
    longer = pl.concat([ITEMS, ITEMS.head(1).with_columns(title=pl.lit("tea " * 200))]).with_columns(
        item=pl.int_range(10)
    )
    with pytest.raises(InputError, match=r"a prompt of \d+ tokens and .*max_tokens=24 exceed the model's 128 posit"):
        add(config(folder, tmp_path), longer)
    assert len(lines(tmp_path)) == len(LEARNED)


def test_too_little_memory_is_told_in_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(LlamaForCausalLM, "generate", generate)
    with pytest.raises(InputError, match=r"3 prompts of up to \d+ tokens do not fit on cpu; lower .*batch_size=3"):
        add(config(folder, tmp_path))


def test_model_that_answers_nothing_readable_is_noticed_early(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = copied(folder, tmp_path)
    tokens = open_local_model(config(folder, tmp_path)).tokenizer
    size = ScratchConfig(hidden_size=32, num_layers=1, num_heads=2)
    build_model(size, vocab_size=len(tokens), eos=1, pad=0, max_tokens=64, seed=2, dtype=torch.float32).save_pretrained(
        path
    )
    items = pl.DataFrame(
        {"item": range(60), "domain": 0, "title": [f"Tea {item}" for item in range(60)], "attributes": "words"}
    )
    attributes, facts = add(config(path, tmp_path, max_tokens=3, batch_size=60), items)
    assert (attributes, facts["bad"]) == (["words"] * 60, 60)
    assert "none of the first 50 answers is a JSON list of texts; one is " in caplog.text
