"""A tiny prepared pair with neighbours, written as run files, and its prompts, for tests of what reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from launch.artifacts import write_json
from launch.tracking import Tracker
from pairs.samples.write_tables import PARQUET_SCHEMA
from pairs.tables import Split
from tests.pair_files import write_split
from training.prompts.config import PromptsConfig
from training.tokenize_prompts import tokenize_prompts

WORDS = ["red", "blue", "soft", "hard", "paper", "pencil", "brush", "desk", "lamp", "ink", "folder", "canvas", "glue"]
DOMAINS = ["Art", "Office_Products"]
NAMES = ("Art", "Office")
CONFIG = PromptsConfig(
    scratch_vocab=400, max_tokens=140, num_neighbours=2, max_history=6, neighbour_items=3, max_item_tokens=16
)


def write_tiny_run(run_dir: Path, *, users: int = 24, items: int = 20, neighbours: int = 4, seed: int = 0) -> None:
    """pair/ and neighbours/: every train user has twin samples (one history, a target in each domain)."""
    rng = np.random.default_rng(seed)
    (run_dir / "pair").mkdir(parents=True)
    (run_dir / "neighbours").mkdir()
    domain = np.repeat([0, 1], [items // 2, items - items // 2])
    titles = [f"{' '.join(rng.choice(WORDS, size=rng.integers(2, 7)))} {item}" for item in range(items)]
    pq.write_table(
        pa.table(
            {
                "item": np.arange(items),
                "domain": domain.astype(np.int8),
                "source_id": [f"B{item:04d}" for item in range(items)],
                "title": titles,
                "attributes": [""] * items,
                "train_count": np.ones(items, dtype=np.int64),
            }
        ),
        run_dir / "pair" / "items.parquet",
    )
    write_json(run_dir / "pair" / "card.json", {"pair": "tiny", "domains": DOMAINS, "order": "synthetic"})
    first_user, first_sample = 0, 0
    train_samples: list[int] = []
    train_users: list[int] = []
    counts: dict[Split, int] = {"train": users, "valid": users // 3, "test": users // 3}
    for split, count in counts.items():
        rows = _samples(rng, first_user, first_sample, count, items)
        if split == "train":
            train_samples = [int(row["sample"]) for row in rows]
            train_users = [int(row["user"]) for row in rows]
        write_split(run_dir / "pair", split, pa.Table.from_pylist(rows, schema=PARQUET_SCHEMA))
        lists = []
        for row in rows:
            others = [s for s, user in zip(train_samples, train_users, strict=True) if user != row["user"]]
            lists.append(rng.choice(others, size=neighbours, replace=False).tolist())
        order = rng.permutation(len(rows))  # joins are by id: the order of the file says nothing
        pq.write_table(
            pa.table(
                {
                    "sample": [rows[place]["sample"] for place in order],
                    "neighbour_samples": pa.array([lists[place] for place in order], type=pa.list_(pa.int64())),
                    "scores": pa.array([[1.0] * neighbours] * len(rows), type=pa.list_(pa.float32())),
                }
            ),
            run_dir / "neighbours" / f"{split}.parquet",
        )
        first_user += count
        first_sample += 2 * count


def write_tokenized_run(run_dir: Path, config: PromptsConfig = CONFIG, *, seed: int = 1) -> None:
    """pair/ and neighbours/ of the tiny run, and prompts/ by the stage itself."""
    write_tiny_run(run_dir)
    tokenize_prompts(config, run_dir=run_dir, seed=seed, tracker=Tracker(None, "tokenize"))


def _samples(
    rng: np.random.Generator, first_user: int, first_sample: int, count: int, items: int
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for user in range(first_user, first_user + count):
        chosen = rng.permutation(items)
        history = [int(item) for item in chosen[: rng.integers(2, 9)]]
        for domain in (0, 1):
            unseen = [int(item) for item in chosen[len(history) :] if (item >= items // 2) == bool(domain)]
            rows.append(
                {
                    "sample": first_sample + len(rows),
                    "user": user,
                    "domain": domain,
                    "history": history,
                    "history_time": None,
                    "target": unseen[0],
                    "target_time": None,
                }
            )
    return rows
