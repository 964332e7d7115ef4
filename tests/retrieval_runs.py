"""Small run folders for the retrieval tests: a pair with twin samples and a user of many, and model vectors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.ranked_lists import NO_ITEM, RankedLists, write_lists
from launch.artifacts import write_json
from pairs.tables import SPLITS, Ints, Samples, Split, load_samples
from tests.pair_files import write_split

NUM_X, NUM_ITEMS, DIM = 30, 60, 8
WORDS = ["red", "blue", "paper", "pen", "ink", "brush", "glue", "box", "wood", "frame", "card", "tape"]


def write_run(run_dir: Path, *, num_train_users: int = 40, many: int = 30, timed: bool = False, seed: int = 0) -> None:
    """A run with `pair/` and `graph/vectors/`. Train user 0 has `many` samples, the others twins of one history."""
    random = np.random.default_rng(seed)
    rows: dict[Split, list[tuple[int, list[int]]]] = {"train": [], "valid": [], "test": []}
    whole = random.integers(0, NUM_ITEMS, many + 1).tolist()
    rows["train"] += [(0, whole[: length + 1]) for length in range(many)]
    user = 1
    counts: dict[Split, int] = {"train": num_train_users - 1, "valid": 5, "test": 9}
    for split, count in counts.items():
        for _ in range(count):
            history = random.integers(0, NUM_ITEMS, random.integers(1, 7)).tolist()
            rows[split] += [(user, history)] * 2
            user += 1
    first = 0
    for split, samples in rows.items():
        _write_samples(run_dir, split, samples, first=first, timed=timed, random=random)
        first += len(samples)
    titles = [" ".join(random.choice(WORDS, 3)) for _ in range(NUM_ITEMS)]
    table = {
        "item": pa.array(range(NUM_ITEMS), pa.int64()),
        "domain": pa.array([int(item >= NUM_X) for item in range(NUM_ITEMS)], pa.int8()),
        "source_id": [f"B{item:04d}" for item in range(NUM_ITEMS)],
        "title": titles,
        "attributes": [""] * NUM_ITEMS,
        "train_count": pa.array(random.integers(1, 5, NUM_ITEMS), pa.int64()),
    }
    pq.write_table(pa.table(table), run_dir / "pair" / "items.parquet")
    order = "chronological" if timed else "synthetic"
    write_json(run_dir / "pair" / "card.json", {"pair": "tiny", "domains": ["x", "y"], "order": order})


def write_expected(run_dir: Path, *, depth: int = 12, seed: int = 1) -> None:
    """The lists that retrieval expects by: random items of the target's domain, some lists shorter, one empty."""
    random = np.random.default_rng(seed)
    (run_dir / "graph" / "left_out").mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        samples = load_samples(run_dir, split)
        items = _random_lists(samples, depth, random)
        falling = np.sort(random.normal(size=items.shape), axis=1)[:, ::-1]
        scores = np.where(items == NO_ITEM, -np.inf, falling).astype(np.float32)
        if split == "train":
            np.save(run_dir / "graph" / "left_out" / "samples.npy", samples.sample)
            np.save(run_dir / "graph" / "left_out" / "items.npy", items.astype(np.int32))
            np.save(run_dir / "graph" / "left_out" / "scores.npy", scores)
        else:
            write_lists(run_dir / "lists" / f"evidence_{split}.parquet", RankedLists(samples.sample, items, scores))


def _random_lists(samples: Samples, depth: int, random: np.random.Generator) -> Ints:
    """[N, depth]; the first is empty, the second has one item, the others are whole or half as long."""
    items = np.stack([random.permutation(NUM_X)[:depth] for _ in range(len(samples))]) + NUM_X * samples.domain[:, None]
    lengths = np.where(np.arange(len(samples)) % 3 == 2, depth // 2, depth)
    lengths[:2] = [0, 1]
    return np.where(np.arange(depth) < lengths[:, None], items, NO_ITEM)


def _write_samples(
    run_dir: Path,
    split: Split,
    samples: list[tuple[int, list[int]]],
    *,
    first: int,
    timed: bool,
    random: np.random.Generator,
) -> None:
    (run_dir / "pair").mkdir(parents=True, exist_ok=True)
    (run_dir / "graph" / "vectors").mkdir(parents=True, exist_ok=True)
    count = len(samples)
    domain = np.arange(count) % 2
    ends = random.integers(100, 1000, count)
    times = [list(range(end - len(history), end)) for end, (_, history) in zip(ends.tolist(), samples, strict=True)]
    ids = np.arange(first, first + count)
    table = {
        "sample": pa.array(ids, pa.int64()),
        "user": pa.array([user for user, _ in samples], pa.int64()),
        "domain": pa.array(domain, pa.int8()),
        "history": pa.array([history for _, history in samples], pa.list_(pa.int64())),
        "history_time": pa.array(times if timed else [None] * count, pa.list_(pa.int64())),
        "target": pa.array(np.where(domain == 0, 0, NUM_X) + random.integers(0, NUM_X, count), pa.int64()),
        "target_time": pa.array(ends.tolist() if timed else [None] * count, pa.int64()),
    }
    write_split(run_dir / "pair", split, pa.table(table))
    write_vectors(run_dir, split, ids, [history for _, history in samples])


def write_vectors(run_dir: Path, split: str, ids: Ints, histories: list[list[int]]) -> None:
    """Model vectors that depend on the history alone, as the graph model's do: twins get equal ones."""
    folder = run_dir / "graph" / "vectors"
    np.save(folder / f"{split}_samples.npy", ids.astype(np.int64))
    for number, name in enumerate("XY"):
        table = np.random.default_rng(100 + number).normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
        vectors = np.stack([table[history].mean(axis=0) for history in histories])
        np.save(folder / f"{split}_{name}.npy", vectors.astype(np.float32))
