"""Put a model together from a run folder: catalogue, train samples, text vectors, settings; weights, once trained."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from evaluation.list_ranker.blocks import FitBlock, is_chronological, make_blocks
from evaluation.matrices import user_item_matrix
from graph.build import Graphs, build_graphs, companion_rules
from graph.co_occurrence import co_occurrence_vectors
from graph.companions.kept import CompanionPlace, CompanionTables, kept_companions
from graph.config import GraphConfig, LossConfig, ModelConfig, ScheduleConfig
from graph.kept_arrays import shared_array
from graph.late.interaction import vote_graphs
from graph.late.item_tables import Bytes, ItemTables, factorise, item_tables, kept_item_tables
from graph.late.left_out import read_left_out, write_left_out
from graph.ranker import GraphRanker
from graph.sampled.negatives import negatives_of
from graph.words import Floats, WordTables, kept_words, text_vectors, unit_rows
from launch.artifacts import read_json, write_json
from launch.distributed import World
from launch.errors import InputError
from launch.processes.garbage import return_freed
from launch.processes.threads import of_waiting_ranks
from launch.state.kept import NOTHING_KEPT, KeptArrays
from launch.watch.beats import long
from pairs.known import load_graph_samples, load_others
from pairs.tables import SPLITS, Items, Pair, Samples, load_pair, load_samples

TEXT_DIM = 128
"""Of the likeness in the evidence."""
TABLES_OF_PARTS = Path("graph", "checkpoints", "tables")
"""Below the run folder: of parts of train, and of what is known at a cut; gone when all is exported."""
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Source:
    """What graphs are built from beside samples."""

    items: Items
    words: WordTables
    start: Floats  # [I, K]
    """The items' words or, where there are none, who has them."""
    settings: GraphConfig

    @property
    def text(self) -> Floats:
        """The items' text vectors [I, K]; zeros where no two share a word: who has an item is no likeness."""
        return self.start if self.words.tfidf.nnz else np.zeros_like(self.start)

    def graphs_of(
        self,
        known: Samples,
        *,
        factors: Bytes | None = None,
        votes: bool = True,
        place: CompanionPlace | None = None,
        kept: KeptArrays = NOTHING_KEPT,
        name: str = "train",
    ) -> Graphs:
        """The graphs of some samples, on the CPU.

        Args:
            factors: what `factorise` makes of them, if it is known.
            votes: whether late interaction is going to be asked.
            place: where their companions are kept for all ranks, who then all call this; without it each rank counts
                its own.
            kept: what the run keeps of these samples, under `name`.
        """
        return_freed()
        with long("graphs"):
            companions = self._kept_companions(known, place) if place and self.settings.model.evidence else None
            text_IK = first_columns(self.text, TEXT_DIM)
            graphs = build_graphs(known, self.items, self.words, text_IK, self.settings, companions=companions)
            if self.settings.model.encoder == "attention":
                num_users_I = np.asarray(user_item_matrix(known, self.items.num_items).sum(axis=0)).ravel()
                of_x, of_y = np.split(num_users_I, [self.items.num_x])
                negatives = (negatives_of(torch.from_numpy(of_x)), negatives_of(torch.from_numpy(of_y)))
                return dataclasses.replace(graphs, negatives=negatives)
            if not votes:
                return graphs

            def make() -> ItemTables:
                return item_tables(self.factorise(known) if factors is None else factors, self.table_words, known)

            tables = kept_item_tables(f"item_tables_{name}", make, kept)
            x_graph, y_graph = vote_graphs(tables, self.items.num_x, depth=self.settings.model.nearest)
            negatives = (negatives_of(x_graph.num_users), negatives_of(y_graph.num_users))
            return dataclasses.replace(graphs, votes=(x_graph, y_graph), negatives=negatives)

    def _kept_companions(self, known: Samples, place: CompanionPlace) -> CompanionTables:
        rules = companion_rules(self.items, self.settings)
        text_IK = first_columns(self.text, TEXT_DIM)
        return kept_companions(place, known, text_IK, rules, memory_gib=self.settings.memory_gib)

    @property
    def table_words(self) -> Floats:
        """The text vectors at the width of the tables [I, d]; zeros where late interaction is to know no words."""
        words_IK = first_columns(self.text, self.settings.model.dim)
        return words_IK if self.settings.model.late_words else np.zeros_like(words_IK)

    def factorise(self, known: Samples) -> Bytes:
        """Who has what, as two tables [2, I, d]."""
        return_freed()
        with long("tables"):
            return factorise(known, self.items, dim=self.settings.model.dim)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What training begins with."""

    pair: Pair
    train: Samples
    graphs: Graphs
    source: Source


def prepare(run_dir: Path, settings: GraphConfig, world: World, *, kept: KeptArrays = NOTHING_KEPT) -> Prepared:
    """Read the pair, build the graphs. Rank 0 leaves the items' vectors in `graph/`, so that all have the same."""
    pair, train = load_pair(run_dir), load_samples(run_dir, "train")
    items = pair.items
    for domain in (0, 1):
        if len(items.ids(domain)) == 0:
            raise InputError(f"{run_dir}/pair/items.parquet: domain {pair.domain_names[domain]} has no item")
    if len(train) < max(2, world.size):
        raise InputError(f"{run_dir}/pair/train.parquet: {len(train)} samples are too few for {world.size} ranks")
    words = kept_words(items, kept)
    start = shared_array(text_path(run_dir), lambda: _start_vectors(words, train, items, settings), world)
    source = Source(pair.items, words, start, settings)
    known = load_graph_samples(run_dir)
    late = settings.model.encoder == "late"
    factors = shared_array(factors_path(run_dir), lambda: source.factorise(known), world) if late else None
    place = CompanionPlace(run_dir / "graph" / "companions", world)
    graphs = source.graphs_of(known, factors=factors, place=place, kept=kept).to(world.device)
    return Prepared(pair, train, graphs, source)


def load_blocks(run_dir: Path, *, seed: int) -> list[FitBlock]:
    """Train samples to learn from, with what may be known meanwhile; none where train holds too few."""
    train, valid, test = (load_samples(run_dir, split) for split in SPLITS)
    chronological = is_chronological(train, valid, test)
    return make_blocks(train, seed=seed, chronological=chronological, others=load_others(run_dir))


def with_left_out(prepared: Prepared, blocks: list[FitBlock], run_dir: Path, world: World) -> Prepared:
    """The same with votes for the samples of some blocks; a start before this one may have left them."""
    folder, source, model = run_dir / TABLES_OF_PARTS, prepared.source, prepared.source.settings.model
    if world.is_main:
        with of_waiting_ranks(world):
            write_left_out(
                folder, blocks, source.items, source.table_words,
                dim=model.dim, depth=model.nearest, max_history=model.max_history,
            )  # fmt: skip
    world.barrier()
    left_out = read_left_out(folder, blocks, source.items)
    graphs = dataclasses.replace(prepared.graphs, left_out=left_out).to(world.device)
    return dataclasses.replace(prepared, graphs=graphs)


def _start_vectors(words: WordTables, train: Samples, items: Items, settings: GraphConfig) -> Floats:
    dim = max(TEXT_DIM, settings.model.dim)
    late = settings.model.encoder == "late"
    if words.tfidf.nnz or (settings.model.initial != "text" and not late):
        return text_vectors(words.tfidf, dim, seed=0)
    if late:
        log.warning("no two items share a word: the text says nothing")
        return np.zeros((items.num_items, dim), dtype=np.float32)
    log.warning("no two items share a word: the text says nothing, and item tables start from who has the items")
    return co_occurrence_vectors(user_item_matrix(train, items.num_items), dim=dim, seed=0)


def make_ranker(prepared: Prepared, settings: GraphConfig, *, seed: int, device: torch.device) -> GraphRanker:
    """An untrained model; the same for the same seed, on every rank."""
    torch.manual_seed(seed)
    ranker = GraphRanker(prepared.graphs, settings)
    model = ranker.model
    if model is not None and settings.model.initial == "text":
        start_IK = first_columns(prepared.source.start, settings.model.dim) * settings.model.init_scale
        model.start_from(torch.from_numpy(start_IK))
    if model is not None and settings.schedule.table_rate == 0:
        for table in (*model.tables.values(), model.attribute_table):
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


def load_trained(
    run_dir: Path, world: World, *, kept: KeptArrays = NOTHING_KEPT
) -> tuple[Prepared, GraphConfig, GraphRanker]:
    """The finished model of a run, in eval mode; of arrays that it was trained with none is made anew."""
    folder = run_dir / "graph"
    _check_there(folder / "model.json", folder / "model.safetensors", text_path(run_dir))
    settings = read_settings(folder / "model.json")
    if settings.model.encoder == "late":
        _check_there(factors_path(run_dir))
    prepared = prepare(run_dir, settings, world, kept=kept)
    ranker = make_ranker(prepared, settings, seed=0, device=world.device)
    ranker.load_state_dict(load_file(folder / "model.safetensors"))
    return prepared, settings, ranker.eval()


def _check_there(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file; run `kinrec pretrain` first")


def first_columns(vectors: Floats, dim: int) -> Floats:
    """The most important columns, each row of length one (or zero)."""
    return unit_rows(vectors[:, :dim]) if dim < vectors.shape[1] else vectors


def factors_path(run_dir: Path) -> Path:
    """Where the tables are that late interaction votes with."""
    return run_dir / "graph" / "item_tables.npy"


def text_path(run_dir: Path) -> Path:
    """Where the vectors are that item tables may start from."""
    return run_dir / "graph" / "text_vectors.npy"
