"""A step of preset `best` on a catalogue of any size, out of tables of random numbers.

Every item of a history has as many companions, nearest items and words whatever the size; companions are drawn by
their users, as they are in data, whose numbers follow a power law. Two samples an item are taken to be learnt from, of
which 6,000 are in blocks, as everywhere. Items of no history have no companions here, and large catalogues no table of
the dense path's words: a step reads neither.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch_geometric import EdgeIndex

from bench.graph_training import peak_since, restart_peak
from evaluation.list_ranker.blocks import MOST_SAMPLES
from graph.batches import epoch_batches, make_batch
from graph.build import AttributeGraph, Graphs
from graph.companions.array_files import Array, save_array
from graph.companions.kept import open_companions
from graph.companions.pair_keys import NUM_GAPS
from graph.companions.rules import CompanionRules
from graph.config import TABLES, GraphConfig
from graph.edges import Edges
from graph.evidence import EvidenceGraph, EvidenceTerms
from graph.item_graph import as_edge_index, build_item_graph
from graph.late.interaction import VoteGraph
from graph.late.left_out import LeftOut
from graph.late.nearest import NearestItems
from graph.learning.optimizer import build_optimizer
from graph.learning.take_step import take_step
from graph.noise import Noise
from graph.objective import Objective, count_terms
from graph.presets import PRESETS
from graph.ranker import GraphRanker
from graph.sampled.negatives import negatives_of
from pairs.ragged import offsets_of
from pairs.tables import Ints, Samples

NUM_USERS, LENGTH, POOL = 6000, 18, 20_000
"""Users and the items of each history, drawn from so many items of the whole catalogue."""
COMPANIONS, NEAREST, WORDS, NUM_WORDS = 300, 200, 8, 20_000
"""Of an item, towards each domain; its words, out of so many."""
OTHERS = 8
"""Users of a companion at every gap: more than the pairs of one user, which are left out of them."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class StepTime:
    """What a step takes."""

    seconds: float
    """The median."""
    peak_mib: float
    """Above the tables."""


def step_times(num_items: int, *, steps: int, settings: GraphConfig = PRESETS["best"]) -> StepTime:
    """A training step with its batch, gradients and optimizer."""
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        train, graphs = _made(num_items, Path(folder), random)
        objective = Objective(GraphRanker(graphs, settings), settings)
        optimizer = build_optimizer(objective, settings)
        before, seconds = restart_peak(), []
        batches = epoch_batches(len(train), global_batch=settings.schedule.global_batch, seed=1, epoch=0)
        for step, rows in enumerate(batches[: steps + 1]):
            started = time.process_time()
            batch = make_batch(
                train, rows, max_history=settings.model.max_history, pad=num_items, device=CPU
            )  # fmt: skip
            counts = count_terms(graphs, batch, settings.loss)
            loss, _ = objective(graphs, batch, Noise(1, step, batch.sample), counts)
            assert torch.isfinite(loss)
            take_step(loss, objective.parameters(), optimizer, clip=settings.schedule.grad_clip)
            seconds.append(time.process_time() - started)
        return StepTime(float(np.median(seconds[1:])), peak_since(before))


def sampled_everywhere(settings: GraphConfig = PRESETS["best"]) -> GraphConfig:
    """The same with a sampled softmax in domains of any size."""
    return replace(settings, loss=replace(settings.loss, full_softmax_items=0))


def _made(num_items: int, folder: Path, random: np.random.Generator) -> tuple[Samples, Graphs]:
    pool = np.sort(random.choice(num_items, min(POOL, num_items), replace=False))
    train = _samples(num_items, pool, random)
    num_x = num_items // 2
    rules = CompanionRules(num_items, num_x, window=30, max_companions=2000)
    num_users = _write_companions(folder, train, pool, rules, random)
    tables = open_companions(folder, rules)
    word_offsets = torch.arange(num_items + 1) * WORDS
    word = torch.from_numpy(random.integers(0, NUM_WORDS, num_items * WORDS))
    tfidf = torch.full((num_items * WORDS,), WORDS**-0.5)
    evidence, votes = [], []
    for domain in (0, 1):
        ids = rules.ids(domain)
        nothing = np.zeros(0, dtype=np.int64)
        evidence.append(
            EvidenceGraph(
                first=ids.start,
                size=len(ids),
                companions=tables.of_domain[domain],
                num_users=num_users,
                word_offsets=torch.cat([word_offsets, word_offsets[-1:]]),
                word=word,
                tfidf=tfidf,
                num_words=NUM_WORDS,
                domain_words=_rows_of_words(word, ids) if num_items <= 200_000 else _no_edges(nothing, len(ids)),
                domain_tfidf=tfidf[: len(ids) * WORDS] if num_items <= 200_000 else tfidf[:0],
                terms=EvidenceTerms(),
            )
        )
        votes.append(VoteGraph(_nearest(num_items, pool, ids, random), num_users[ids.start : ids.stop]))
    no_edges = Edges(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    empty = build_item_graph(no_edges, num_items=1, edge_weight="count")
    learnt = max(2, round(len(train) * min(1.0, MOST_SAMPLES / (2 * num_items))))
    block = torch.zeros(learnt, dtype=torch.int64)
    left_out = LeftOut(
        torch.from_numpy(np.sort(random.permutation(len(train))[:learnt])), block, ((votes[0], votes[1]),)
    )
    graphs = Graphs(
        mixed=empty,
        within=empty,
        attributes=AttributeGraph(empty.adjacency, empty.weight),
        num_items=num_items,
        num_x=num_x,
        num_attributes=0,
        evidence=(evidence[0], evidence[1]),
        votes=(votes[0], votes[1]),
        negatives=(negatives_of(votes[0].num_users), negatives_of(votes[1].num_users)),
        left_out=left_out,
    )
    return train, graphs


def _samples(num_items: int, pool: Ints, random: np.random.Generator) -> Samples:
    items = random.choice(pool, (NUM_USERS, LENGTH + 1))
    return Samples(
        sample=np.arange(NUM_USERS),
        user=np.arange(NUM_USERS),
        domain=(items[:, -1] >= num_items // 2).astype(np.int64),
        target=items[:, -1].copy(),
        history=items[:, :-1].ravel().copy(),
        offsets=np.arange(NUM_USERS + 1) * LENGTH,
        history_time=None,
        target_time=None,
    )


def _write_companions(
    folder: Path, train: Samples, pool: Ints, rules: CompanionRules, random: np.random.Generator
) -> torch.Tensor:
    """Files as `count_companions` leaves them; every item of the pool has companions, drawn. The items' users."""
    num_users = random.zipf(1.5, rules.num_items + 1).clip(max=3000)
    num_users[-1] = 0
    items = np.sort(np.concatenate([train.history.reshape(-1, LENGTH), train.target[:, None]], axis=1), axis=1)
    place = np.tile(np.arange(LENGTH + 1), (LENGTH + 1, 1))
    apart = ~np.eye(LENGTH + 1, dtype=bool)
    pairs = LENGTH * (LENGTH + 1)
    for name, array in (
        ("users", train.user),
        ("num_users", num_users.astype(np.int64)),
        ("own_items", np.arange(NUM_USERS + 1) * (LENGTH + 1)),
        ("own_item", items.ravel().astype(np.int32)),
        ("own_pairs", np.arange(NUM_USERS + 1) * pairs),
        ("own_source", np.tile(place.T[apart], NUM_USERS).astype(np.uint16)),
        ("own_target", np.tile(place[apart], NUM_USERS).astype(np.uint16)),
        ("own_gap", random.integers(0, NUM_GAPS, NUM_USERS * pairs).astype(np.uint8)),
    ):
        save_array(folder / f"{name}.npy", array)
    for domain in (0, 1):
        lengths = np.zeros(rules.num_items + 1, dtype=np.int64)
        lengths[pool] = COMPANIONS
        counts = np.full((len(pool) * COMPANIONS, NUM_GAPS), OTHERS, dtype=np.uint8)
        bound = np.cumsum(num_users[rules.ids(domain).start : rules.ids(domain).stop], dtype=np.float64)
        drawn = np.searchsorted(bound / bound[-1], random.random((len(pool), COMPANIONS)), side="right")
        candidate = np.sort(drawn.clip(max=len(bound) - 1), axis=1)
        columns: tuple[tuple[str, Array], ...] = (
            ("offsets", offsets_of(lengths)),
            ("candidate", candidate.ravel().astype(np.int32)),
            ("counts", counts),
            ("likeness", random.random(len(counts), dtype=np.float32)),
            ("least", np.ones(rules.num_items + 1, dtype=np.int64)),
            ("large_cell", np.zeros(0, dtype=np.int64)),
            ("large_count", np.zeros(0, dtype=np.int32)),
        )
        for name, column in columns:
            save_array(folder / f"{'XY'[domain]}_{name}.npy", column)
    return torch.from_numpy(num_users.astype(np.float32))


def _nearest(num_items: int, pool: Ints, ids: range, random: np.random.Generator) -> NearestItems:
    row = torch.full((num_items + 1,), -1)
    row[torch.from_numpy(pool)] = torch.arange(len(pool))
    return NearestItems(
        ids,
        0,
        None,
        row=row,
        offsets=torch.arange(len(pool) + 1) * NEAREST,
        candidate=torch.from_numpy(random.integers(0, len(ids), len(pool) * NEAREST).astype(np.int32)),
        cosines=torch.from_numpy(random.random((len(pool) * NEAREST, len(TABLES))).astype(np.float16)),
    )


def _rows_of_words(word: torch.Tensor, ids: range) -> EdgeIndex:
    row = np.repeat(np.arange(len(ids)), WORDS)
    return as_edge_index(row, word[ids.start * WORDS : ids.stop * WORDS].numpy(), (len(ids), NUM_WORDS))


def _no_edges(nothing: Ints, size: int) -> EdgeIndex:
    return as_edge_index(nothing, nothing, (size, NUM_WORDS))
