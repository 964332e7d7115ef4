"""Small pairs and runs for the evaluation tests: users with a taste, twin samples, lists of a graph and an LLM."""

from pathlib import Path

import numpy as np
import polars as pl

from evaluation.ranked_lists import RankedLists, top_k, write_lists
from evaluation.systems.sources import Sources
from launch.artifacts import write_json
from pairs.tables import SPLITS, Items, Samples, Split, load_pair, load_samples
from tests.pair_files import write_pair

NUM_X, NUM_ITEMS, NUM_TASTES = 40, 80, 4
WORDS = ("ink", "brush", "paper", "wood")


def make_samples(rows: list[tuple[int, int, list[int], int]], *, first: int = 0) -> Samples:
    """Samples of (user, domain, history, target)."""
    lengths = [len(history) for _, _, history, _ in rows]
    return Samples(
        sample=np.arange(first, first + len(rows)),
        user=np.array([user for user, _, _, _ in rows]),
        domain=np.array([domain for _, domain, _, _ in rows]),
        target=np.array([target for _, _, _, target in rows]),
        history=np.array([item for _, _, history, _ in rows for item in history], dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        history_time=None,
        target_time=None,
    )


def sources_of(samples: Samples, lists: dict[str, RankedLists] | None = None) -> Sources:
    """What other stages say of some samples; the language model, where it has lists, of all of them."""
    return Sources(np.ones(len(samples), dtype=bool), [[]] * len(samples), lists or {})


def make_items(num_x: int, num_items: int, *, counts: list[int] | None = None) -> Items:
    """A catalogue with one word a title."""
    return Items(
        domain=(np.arange(num_items) >= num_x).astype(np.int8),
        source_ids=[f"B{item}" for item in range(num_items)],
        titles=[f"title{item}" for item in range(num_items)],
        attributes=[""] * num_items,
        train_count=np.array(counts if counts is not None else [1] * num_items),
    )


def write_run(
    run_dir: Path,
    *,
    seed: int = 0,
    systems: tuple[str, ...] = ("graph", "llm"),
    users: tuple[int, int, int] = (80, 25, 25),
) -> None:
    """A run with `pair/`, `neighbours/quality.json` and the lists of `systems`."""
    random = np.random.default_rng(seed)
    first_sample, first_user = 0, 0
    samples: dict[Split, Samples] = {}
    for split, num_users in zip(SPLITS, users, strict=True):
        rows = [row for user in range(num_users) for row in _twins(first_user + user, random)]
        samples[split] = make_samples(rows, first=first_sample)
        first_sample, first_user = first_sample + len(rows), first_user + num_users
    items = pl.DataFrame(
        {
            "item": np.arange(NUM_ITEMS),
            "domain": (np.arange(NUM_ITEMS) >= NUM_X).astype(np.int8),
            "source_id": [f"B{item}" for item in range(NUM_ITEMS)],
            "title": [f"{WORDS[item % NUM_TASTES]} no{item}" for item in range(NUM_ITEMS)],
            "attributes": [WORDS[item % NUM_TASTES] for item in range(NUM_ITEMS)],
        }
    )
    table = pl.DataFrame({"user": np.arange(first_user), "source_id": [f"U{user}" for user in range(first_user)]})
    write_pair(run_dir / "pair", items=items, users=table, samples=samples)
    card = {"pair": "tiny | <pair>", "domains": ["Art", "Office\n"], "order": "synthetic"}
    write_json(run_dir / "pair" / "card.json", card)
    write_json(run_dir / "neighbours" / "quality.json", {"test": {"hit_rate": 0.25}})
    for system in systems:
        write_system(run_dir, system, random=random)


def write_system(run_dir: Path, system: str, *, random: np.random.Generator, keep: int | None = None) -> None:
    """Lists that know the taste in part; the LLM answers the first `keep` samples and strays now and then."""
    items = load_pair(run_dir).items
    judged: tuple[Split, ...] = ("valid", "test")
    for split in judged:
        samples = load_samples(run_dir, split)
        taste = samples.target % NUM_TASTES
        scores = random.normal(size=(len(samples), NUM_ITEMS))
        scores += 1.5 * (np.arange(NUM_ITEMS)[None, :] % NUM_TASTES == taste[:, None])
        scores[items.domain[None, :] != samples.domain[:, None]] = -np.inf
        listed, best = top_k(scores, 30, np.arange(NUM_ITEMS))
        lists = RankedLists(samples.sample, listed, best).take(np.arange(len(samples))[:keep])
        columns = {"in_domain": (random.random((len(lists), 5)) > 0.1).tolist()} if system == "llm" else None
        write_lists(run_dir / "lists" / f"{system}_{split}.parquet", lists, columns)


def _twins(user: int, random: np.random.Generator) -> list[tuple[int, int, list[int], int]]:
    taste = int(random.integers(NUM_TASTES))
    liked = np.flatnonzero(np.arange(NUM_ITEMS) % NUM_TASTES == taste)
    picked = random.choice(liked, size=int(random.integers(4, 9)), replace=False).tolist()
    x, y = random.choice(liked[liked < NUM_X]), random.choice(liked[liked >= NUM_X])
    return [(user, 0, picked, int(x)), (user, 1, picked, int(y))]
