"""Small run folders for the graph tests: twins, a user who grows, histories of one domain, an empty history."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch

from evaluation.matrices import DAY
from graph.batches import Batch
from graph.config import GraphConfig, PresetName
from graph.presets import PRESETS
from launch.artifacts import write_json
from launch.distributed import World
from pairs.tables import Samples, Split
from tests.pair_files import write_pair

NUM_X, NUM_ITEMS = 14, 30
ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
WORDS = ["red", "blue", "paper", "pen", "ink", "brush", "glue", "box", "wood", "frame", "card", "tape"]
ATTENTION: dict[str, object] = {"encoder": "attention", "initial": "text", "init_scale": 1.0, "tie_head": True}
"""The preset `best` with encoders of self-attention."""
Row = tuple[int, list[int], int]  # user, history, target


def make_samples(rows: list[Row], *, first: int = 0) -> Samples:
    """Samples with ids from `first` on."""
    lengths = [len(history) for _, history, _ in rows]
    return Samples(
        sample=np.arange(first, first + len(rows)),
        user=np.array([user for user, _, _ in rows], dtype=np.int64),
        domain=np.array([int(target >= NUM_X) for _, _, target in rows], dtype=np.int64),
        target=np.array([target for _, _, target in rows], dtype=np.int64),
        history=np.array([item for _, history, _ in rows for item in history], dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        history_time=None,
        target_time=None,
    )


def make_rows(random: np.random.Generator, users: range) -> list[Row]:
    """Two samples a user, mostly with the same history and a target in each domain."""
    rows: list[Row] = []
    for user in users:
        history = random.choice(NUM_ITEMS, random.integers(2, 9), replace=False).tolist()
        if user % 7 == 0:
            history = [item % NUM_X for item in history]  # no item of Y
        x_target, y_target = int(random.integers(0, NUM_X)), int(random.integers(NUM_X, NUM_ITEMS))
        rows += [(user, history, x_target), (user, history if user % 5 else [], y_target)]
    return rows


def make_splits(seed: int = 0) -> dict[Split, Samples]:
    """Train, valid and test samples of different users."""
    random = np.random.default_rng(seed)
    rows = {"train": range(40), "valid": range(40, 52), "test": range(52, 61)}
    splits: dict[Split, Samples] = {}
    first = 0
    for split, users in rows.items():
        name: Split = split  # type: ignore[assignment]  # the keys above are splits
        splits[name] = make_samples(make_rows(random, users), first=first)
        first += len(splits[name])
    return splits


def timed(splits: dict[Split, Samples], *, seed: int = 0) -> dict[Split, Samples]:
    """The same with times: train's targets in the first 50 days, valid's in the next 10, test's in 10 more."""
    random = np.random.default_rng(seed)
    spans: dict[Split, tuple[int, int]] = {"train": (1, 50), "valid": (51, 60), "test": (61, 70)}
    with_times: dict[Split, Samples] = {}
    for split, samples in splits.items():
        target_time = random.integers(spans[split][0] * DAY, spans[split][1] * DAY, len(samples))
        times = [
            np.sort(random.integers(0, until, length))
            for until, length in zip(target_time, samples.lengths, strict=True)
        ]
        with_times[split] = replace(
            samples, history_time=np.concatenate(times).astype(np.int64), target_time=target_time
        )
    return with_times


def write_run(
    run_dir: Path, *, seed: int = 0, times: bool = False, splits: dict[Split, Samples] | None = None
) -> dict[Split, Samples]:
    """`run_dir/pair` as stage `prepare` leaves it, of given samples or of those of a seed."""
    random = np.random.default_rng(seed)
    items = pl.DataFrame(
        {
            "item": range(NUM_ITEMS),
            "domain": [int(item >= NUM_X) for item in range(NUM_ITEMS)],
            "source_id": [f"B{item:04d}" for item in range(NUM_ITEMS)],
            "title": [" ".join(random.choice(WORDS, 3)) for _ in range(NUM_ITEMS)],
            "attributes": [" ".join(random.choice(WORDS, 2, replace=False)) for _ in range(NUM_ITEMS)],
        }
    )
    if splits is None:
        splits = timed(make_splits(seed)) if times else make_splits(seed)
    users = pl.DataFrame({"user": range(61), "source_id": [f"U{user}" for user in range(61)]})
    write_pair(run_dir / "pair", items=items, users=users, samples=splits)
    write_json(run_dir / "pair" / "card.json", {"pair": "tiny", "domains": ["x", "y"], "order": "synthetic"})
    return splits


def batch_of(history_BL: torch.Tensor, *, moment: int = 0) -> Batch:
    """Histories without targets, each of a user whom nobody knows."""
    nobody_B = torch.full((len(history_BL),), -1, device=history_BL.device)
    return Batch(nobody_B, nobody_B, nobody_B, nobody_B, history_BL, torch.full_like(nobody_B, moment))


def tiny(preset: PresetName = "best", **chosen: object) -> GraphConfig:
    """A preset made small."""
    small: dict[str, object] = {
        "dim": 8,
        "attribute_dim": 4,
        "max_history": 6,
        "epochs": 3,
        "global_batch": 16,
        "checkpoint_every": 2,
        "list_depth": 20,
        "encode_batch": 5,
    }
    return changed(PRESETS[preset], **(small | chosen))


def changed(config: GraphConfig, **chosen: object) -> GraphConfig:
    """The configuration with some values replaced, each named without its part."""
    parts = {}
    for name in ("model", "loss", "schedule"):
        part = getattr(config, name)
        own = {field.name for field in fields(part)} & set(chosen)
        parts[name] = replace(part, **{key: chosen.pop(key) for key in own})
    return replace(config, **parts, **chosen)  # type: ignore[arg-type]  # the config checks them
