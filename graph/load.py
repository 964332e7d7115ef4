"""Put a model together from a run folder: catalogue, train samples, text vectors, settings; weights, once trained."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from graph.build import Graphs, build_graphs
from graph.co_occurrence import co_occurrence_vectors
from graph.config import GraphConfig, LossConfig, ModelConfig, ScheduleConfig
from graph.ranker import GraphRanker
from graph.words import Floats, WordTables, read_words, text_vectors, unit_rows
from launch.artifacts import atomic_file, read_json, write_json
from launch.distributed import World
from launch.errors import InputError
from launch.watch.beats import long
from pairs.tables import Items, Pair, Samples, load_graph_samples, load_pair, load_samples

TEXT_DIM = 128
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Source:
    """What graphs are built from beside samples."""

    items: Items
    words: WordTables
    start: Floats  # [I, K]
    """What item tables may start from: the items' words or, where there are none, who has them."""
    settings: GraphConfig

    def graphs_of(self, known: Samples) -> Graphs:
        """The graphs of some samples, on the CPU."""
        text_IK = self.start if self.words.tfidf.nnz else np.zeros_like(self.start)  # who has an item is no likeness
        with long("graphs"):
            return build_graphs(known, self.items, self.words, text_IK, self.settings)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What training begins with."""

    pair: Pair
    train: Samples
    graphs: Graphs
    source: Source


def prepare(run_dir: Path, settings: GraphConfig, world: World) -> Prepared:
    """Read the pair, build the graphs. Rank 0 leaves the text vectors in `graph/`, so that all have the same."""
    pair, train = load_pair(run_dir), load_samples(run_dir, "train")
    items = pair.items
    for domain in (0, 1):
        if len(items.ids(domain)) == 0:
            raise InputError(f"{run_dir}/pair/items.parquet: domain {pair.domain_names[domain]} has no item")
    if len(train) < max(2, world.size):
        raise InputError(f"{run_dir}/pair/train.parquet: {len(train)} samples are too few for {world.size} ranks")
    words = read_words(items)
    if world.is_main and not text_path(run_dir).is_file():
        vectors = _start_vectors(words, train, items, settings)
        with atomic_file(text_path(run_dir)) as partial, partial.open("wb") as file:
            np.save(file, vectors)
    world.barrier()
    source = Source(pair.items, words, np.load(text_path(run_dir)), settings)
    return Prepared(pair, train, source.graphs_of(load_graph_samples(run_dir)).to(world.device), source)


def _start_vectors(words: WordTables, train: Samples, items: Items, settings: GraphConfig) -> Floats:
    dim = max(TEXT_DIM, settings.model.dim)
    if words.tfidf.nnz or settings.model.initial != "text":
        return text_vectors(words.tfidf, dim, seed=0)
    log.warning("no two items share a word: the text says nothing, and item tables start from who has the items")
    return co_occurrence_vectors(train, num_items=items.num_items, dim=dim, seed=0)


def make_ranker(prepared: Prepared, settings: GraphConfig, *, seed: int, device: torch.device) -> GraphRanker:
    """An untrained model; the same for the same seed, on every rank."""
    torch.manual_seed(seed)
    ranker = GraphRanker(prepared.graphs, settings)
    if settings.model.initial == "text":
        start_IK = unit_rows(prepared.source.start[:, : settings.model.dim]) * settings.model.init_scale
        ranker.model.start_from(torch.from_numpy(start_IK))
    if settings.schedule.table_rate == 0:
        for table in (*ranker.model.tables.values(), ranker.model.attribute_table):
            table.requires_grad_(False)
    return ranker.to(device)


def save_settings(run_dir: Path, settings: GraphConfig) -> None:
    """Leave beside the weights what they belong to."""
    write_json(run_dir / "graph" / "model.json", dataclasses.asdict(settings))


def read_settings(path: Path) -> GraphConfig:
    """What `save_settings` left."""
    plain = read_json(path)
    parts = {"model": ModelConfig, "loss": LossConfig, "schedule": ScheduleConfig}
    try:
        return GraphConfig(**plain | {name: part(**plain[name]) for name, part in parts.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not what this version writes; run `kinrec pretrain` again") from error


def load_trained(run_dir: Path, world: World) -> tuple[Prepared, GraphConfig, GraphRanker]:
    """The finished model of a run, in eval mode."""
    folder = run_dir / "graph"
    for name in ("model.json", "model.safetensors", text_path(run_dir).name):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; run `kinrec pretrain` first")
    settings = read_settings(folder / "model.json")
    prepared = prepare(run_dir, settings, world)
    ranker = make_ranker(prepared, settings, seed=0, device=world.device)
    ranker.load_state_dict(load_file(folder / "model.safetensors"))
    return prepared, settings, ranker.eval()


def text_path(run_dir: Path) -> Path:
    """Where the vectors are that item tables may start from."""
    return run_dir / "graph" / "text_vectors.npy"
