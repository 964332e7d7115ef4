"""`kinrec show-prompts`: the very prompts that were written, with what they leave out."""

from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from launch.errors import InputError
from pairs.draws import draw_rows
from pairs.tables import Split, load_samples
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


def test_who_has_no_lists_has_neither_kindred_users_nor_a_prompt(tiny_run: Path) -> None:
    train = load_samples(tiny_run, "train").sample
    listed = np.load(tiny_run / "graph" / "left_out" / "samples.npy")
    assert listed.tolist() == train[draw_rows(len(train), 96, seed=1)].tolist()
    assert pq.read_table(tiny_run / "neighbours" / "train.parquet")["sample"].to_pylist() == listed.tolist()
    taught = datasets.load_from_disk(str(tiny_run / "prompts" / "train"))["sample"][:]
    assert set(taught) < set(listed.tolist())
    assert len(taught) == 64
    kindred = pq.read_table(tiny_run / "neighbours" / "test.parquet")["neighbour_samples"].combine_chunks().flatten()
    assert not set(kindred.to_pylist()) <= set(listed.tolist()), "they are kindred users as before"
    missing = int(np.setdiff1d(train, listed)[0])
    with pytest.raises(InputError, match=rf"--sample {missing}: .*, or none that prompts are made of"):
        show_prompts(tiny_run, split="train", n=5, sample_ids=[missing])


def test_unknown_samples_and_no_prompts_at_all_are_refused(tiny_run: Path) -> None:
    with pytest.raises(InputError, match=r"--sample 999999: no such sample in pair/test\.parquet"):
        show_prompts(tiny_run, split="test", n=5, sample_ids=[999999])
    with pytest.raises(InputError, match=r"--n must be at least 1, got 0"):
        show_prompts(tiny_run, split="test", n=0, sample_ids=[])
