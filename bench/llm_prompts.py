"""Prompts a second: the stage that writes them against a loop that tokenises every prompt's whole text."""

import time
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from launch.tracking import Tracker
from pairs.tables import SPLITS, Split, load_pair, load_samples
from training.base_model import load_tokenizer_folder
from training.prompts.config import PromptsConfig
from training.prompts.kindred import distinct_users, read_neighbours
from training.prompts.pieces import clean_title, line_texts, make_frame
from training.tokenize_prompts import tokenize_prompts


def write_random_neighbours(run_dir: Path) -> None:
    """Any other users: what is measured is the work, not the choice."""
    rng = np.random.default_rng(1)
    train = load_samples(run_dir, "train")
    (run_dir / "neighbours").mkdir()
    for split in SPLITS:
        samples = load_samples(run_dir, split)
        rows = rng.integers(len(train), size=(len(samples), 6))
        lists = [[int(train.sample[row]) for row in chosen if train.user[row] != user]
                 for chosen, user in zip(rows, samples.user, strict=True)]  # fmt: skip
        columns = {"sample": samples.sample, "neighbour_samples": pa.array(lists, type=pa.list_(pa.int64()))}
        pq.write_table(pa.table(columns), run_dir / "neighbours" / f"{split}.parquet")


def measure_prompts(config: PromptsConfig, run_dir: Path) -> dict[str, float]:
    """Prompts a second: the stage, and a loop that tokenises every prompt's whole text."""
    whole = replace(config, max_tokens=4096)  # nothing is cut, so that both write the same
    tokenize_prompts(whole, run_dir=run_dir, seed=1, tracker=Tracker(None, "tokenize"))
    started = time.perf_counter()
    tokenize_prompts(whole, run_dir=run_dir, seed=1, tracker=Tracker(None, "tokenize"))
    ours = time.perf_counter() - started
    count = sum(len(load_samples(run_dir, split)) for split in SPLITS)
    texts = [text for split in SPLITS for text in prompt_texts(whole, run_dir, split)]
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    started = time.perf_counter()
    slow = [tokenizer(text)["input_ids"] for text in texts]
    theirs = time.perf_counter() - started
    fast = [row["input_ids"][: row["prompt_length"]] for split in SPLITS
            for row in datasets.load_from_disk(str(run_dir / "prompts" / split))]  # fmt: skip
    assert slow == fast or config.base != "scratch", "the two do not write the same prompts"
    tokenize_prompts(config, run_dir=run_dir, seed=1, tracker=Tracker(None, "tokenize"))
    return {"rate": count / ours, "against": count / theirs}


def prompt_texts(config: PromptsConfig, run_dir: Path, split: Split) -> list[str]:
    """The prompts of a split as texts, written the obvious way."""
    pair, samples, train = load_pair(run_dir), load_samples(run_dir, split), load_samples(run_dir, "train")
    neighbours = read_neighbours(run_dir, split, samples=samples, known=train)
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    frame = make_frame(tokenizer, pair.domain_names, system=config.system, order=config.order)
    lines = line_texts([clean_title(t) for t in pair.items.titles], pair.items.domain.tolist(), pair.domain_names)
    kindred = distinct_users(
        neighbours.matrix(np.arange(len(samples))), users=train.user, own=samples.user, limit=config.num_neighbours
    )
    texts = []
    for row in range(len(samples)):
        domain = int(samples.domain[row])
        shown = [train.history_of(int(near))[-config.neighbour_items :] for near in kindred[row] if near >= 0]
        blocks = "".join(frame.neighbour + "".join(lines[item] for item in items) for items in shown if len(items))
        own = "".join(lines[item] for item in samples.history_of(row)[-config.max_history :])
        told = [blocks, frame.own + own]
        told = told if config.order == "kindred_first" else told[::-1]
        texts.append(frame.opening[domain] + "".join(told) + frame.request[domain])
    return texts
