"""`kinrec show-prompts`: the very prompts that were written, with what they leave out."""

from pathlib import Path

import datasets
import pytest

from launch.errors import InputError
from pairs.tables import Split
from training.base_model import load_tokenizer_folder
from training.show_prompts import render, show_prompts


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_what_is_shown_is_what_was_written(tiny_run: Path, split: Split) -> None:
    prompts = datasets.load_from_disk(str(tiny_run / "prompts" / split))
    tokenizer = load_tokenizer_folder(tiny_run / "prompts" / "tokenizer")
    written = {row["sample"]: tokenizer.decode(row["input_ids"][: row["prompt_length"]]) for row in prompts}
    shown = show_prompts(tiny_run, split=split, n=6, sample_ids=[])
    assert len(shown) == 6
    assert all(one.prompt == written[one.sample] for one in shown)


def test_a_sample_can_be_asked_for(tiny_run: Path) -> None:
    sample = datasets.load_from_disk(str(tiny_run / "prompts" / "test"))["sample"][3]
    (one,) = show_prompts(tiny_run, split="test", n=5, sample_ids=[sample])
    assert one.sample == sample
    text = render(one)
    assert f"--- sample {sample} " in text
    assert "of 160 tokens; " in text
    assert "own items: " in text
    assert "(votes)" in text


def test_unknown_samples_and_no_prompts_at_all_are_refused(tiny_run: Path) -> None:
    with pytest.raises(InputError, match=r"--sample 999999: no such sample in pair/test\.parquet"):
        show_prompts(tiny_run, split="test", n=5, sample_ids=[999999])
    with pytest.raises(InputError, match=r"--n must be at least 1, got 0"):
        show_prompts(tiny_run, split="test", n=0, sample_ids=[])
