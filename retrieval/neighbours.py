"""Find the kindred users of train, valid and test samples: of all, or of those train samples that prompts are made of.

    torchrun --nproc-per-node 8 -m retrieval.neighbours --config launch/recipes/demo.yaml

Every rank holds its share of the train users; samples are asked of all shards at once, and each rank merges, exactly,
the answers to its share of them. So the tables are the same, byte for byte, for any number of ranks, and nothing is
gathered. What a rank has finished is a file that an interrupted start leaves to the next.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from launch.artifacts import read_json, write_json
from launch.distributed import World, init_world
from launch.errors import InputError
from launch.options.fields import deciding
from launch.progress import progress
from launch.stage import entry_point, open_stage, parse_job
from launch.stopping import Stopped, raise_if_stopped, work_begins
from launch.tracking import Tracker, open_tracker
from launch.watch.beats import beat, long
from pairs.draws import draw_rows
from pairs.known import load_kindred
from pairs.row_parts import finished_parts, missing_rows, part_path
from pairs.tables import SPLITS, Samples, Split, load_pair
from retrieval.config import RetrievalConfig
from retrieval.keys import shared_keys
from retrieval.neighbour_tables import (
    NeighbourTable,
    OpenPart,
    join_parts,
    parts_folder,
    remove_parts,
    table_path,
)
from retrieval.posterior.expected import has_expectations, load_asking
from retrieval.quality import HitCounter, random_kindred, rates
from retrieval.recall import measure_recall
from retrieval.turns import block_ranges, even_cuts, turns_of
from retrieval.vectors import fit_tables, longest_key, open_vectors
from retrieval.ways import ByExpectation, ByVectors, Rules, Score, Way, by_expectation, by_vectors, decide_past_only

MOST_COMPARED = 4096
"""Samples of a split that the other way is asked for."""
log = logging.getLogger(__name__)


@entry_point
def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    job = parse_job(RetrievalConfig, "retrieve", argv)
    with init_world() as world, open_stage(job, world), open_tracker(job, world) as tracker:
        retrieve(job.config, run_dir=job.run_dir, seed=job.seed, world=world, tracker=tracker)


def retrieve(config: RetrievalConfig, *, run_dir: Path, seed: int, world: World, tracker: Tracker) -> None:
    """Write `neighbours/` of a run."""
    pair = load_pair(run_dir)
    has_lists = world.ask_main(lambda: has_expectations(run_dir))
    samples = {split: load_asking(run_dir, split, has_lists=has_lists, world=world) for split in SPLITS}
    known = load_kindred(run_dir)
    keys = shared_keys(run_dir, known, world)
    if len(np.unique(keys.user)) < 2:
        raise InputError(f"{run_dir / 'pair' / 'train.parquet'}: retrieval needs histories of at least two train users")
    past_only = decide_past_only(config.past_only, samples, order=read_json(run_dir / "pair" / "card.json")["order"])
    weights = fit_tables(run_dir, config, items=pair.items, train=known, keys=keys, seed=seed, world=world)
    vectors = open_vectors(run_dir, weights)
    longest = longest_key(vectors, known, keys, world=world) if config.similarity == "inner_product" else None
    rules = Rules(keys, past_only, config.num_neighbours)
    with long("building the index"):
        index = config.index.resolved(len(keys))
        near = by_vectors(
            index, rules, run_dir=run_dir, vectors=vectors, longest=longest, train=known, seed=seed, world=world
        )
        expecting = by_expectation(
            config, rules, run_dir=run_dir, train=known, num_items=pair.items.num_items, otherwise=near, world=world
        )
    way, other = choose_way(config.score, near, expecting)
    work_begins()
    stage = NeighbourWriter(config, run_dir=run_dir, rules=rules, way=way, other=other, world=world)
    for split in SPLITS:
        stage.write_split(split, samples[split], tracker=tracker)
    quality = {}
    for split in SPLITS:
        raise_if_stopped(world, f"the quality of {split}")
        quality[split] = stage.measure(split, samples[split], known, seed=seed)
    if world.is_main:
        write_json(run_dir / "neighbours" / "quality.json", quality)
        write_json(
            run_dir / "neighbours" / "meta.json",
            {
                "score": way.score,
                "coverage": config.coverage,
                "recent_items": config.recent_items,
                "most_holders": config.most_holders,
                "part_weights": weights,
                "index": deciding(index),
                "longest_key": longest,
                "num_neighbours": config.num_neighbours,
                "past_only": past_only,
                "num_keys": len(keys),
            },
        )
        remove_parts(run_dir)
    for split, of_split in quality.items():
        tracker.log({f"retrieve/{split}_{name}": rate for name, rate in of_split.items()}, step=0)


def choose_way(score: Score, near: ByVectors, expecting: ByExpectation | None) -> tuple[Way, Way | None]:
    """The way that is asked for, and the other one, to compare with; vectors, where nothing else is there."""
    if expecting is None:
        if score == "posterior":
            log.warning("the graph model has no evidence to expect by: kindred users are sought by vectors")
        return near, None
    return (expecting, near) if score == "posterior" else (near, expecting)


@dataclass(frozen=True)
class NeighbourWriter:
    """What writing and judging the tables needs."""

    config: RetrievalConfig
    run_dir: Path
    rules: Rules
    way: Way
    other: Way | None
    """Only judged beside `way`."""
    world: World

    def write_split(self, split: Split, samples: Samples, *, tracker: Tracker) -> None:
        """Find the neighbours of one split, block by block, and join the blocks that ranks took turns to write."""
        path, folder = table_path(self.run_dir, split), parts_folder(self.run_dir, split)
        if self.world.ask_main(path.is_file):
            return
        done = self.world.ask_main(lambda: finished_parts(folder))
        todo = turns_of(missing_rows(len(samples), done), block=self.config.block, size=self.world.size)
        started = time.monotonic()
        part = OpenPart(folder, samples, self.rules.keys)
        try:
            for turn in progress(todo, label=f"neighbours of {split}", world=self.world):
                raise_if_stopped(self.world, f"{split} sample {turn.rows[0]}")
                scores, neighbours = self.way.answer(split, samples, turn.rows, turn.cuts)
                part.add(turn.of_rank(self.world.rank), scores, neighbours)
                if turn.is_last:
                    part.close()
        except Stopped:
            part.close()
            raise
        self.world.barrier()
        asked = sum(len(turn.rows) for turn in todo)
        speed = asked / max(1e-9, time.monotonic() - started)
        if self.world.is_main:
            parts = finished_parts(folder)
            assert not missing_rows(len(samples), parts)
            join_parts(path, [part_path(folder, rows) for rows in parts])
        self.world.barrier()
        log.info("%s: %d samples, %.0f queries/s over %d rank(s)", split, len(samples), speed, self.world.size)
        tracker.log({f"retrieve/{split}_queries_per_second": speed}, step=0)

    def measure(self, split: Split, samples: Samples, known: Samples, *, seed: int) -> dict[str, float]:
        """The quality of one split's table, by what who is in it has; each rank counts its share of the blocks."""
        k = self.config.num_neighbours
        cuts = [*(cut for cut in self.config.quality_at if cut < k), k]
        counter = HitCounter(known, self.rules.keys, cuts=cuts, recent=self.config.recent_items)
        table = NeighbourTable(self.run_dir, split)
        nearest = np.zeros(len(counter.names), dtype=np.int64)
        random = np.zeros_like(nearest)
        short = torch.zeros(1, dtype=torch.int64)
        for block in self.world.share(table.num_blocks):
            beat(phase=f"quality of {split}")
            sample, neighbours = table.block(block, k)
            rows = np.arange(table.starts[block], table.starts[block + 1])
            assert np.array_equal(sample, samples.sample[rows])
            asking = self.rules.asking(samples, rows, np.empty((len(rows), 0), np.float32), (0, len(rows)))
            drawn = random_kindred(self.rules.keys, asking, k, seed=(seed, SPLITS.index(split), block))
            nearest += counter.count(neighbours, samples.target[rows])
            random += counter.count(drawn, samples.target[rows])
            short += int((neighbours < 0).any(axis=1).sum())
        counts = {"": nearest, "random_": random}
        quality = rates(counts, names=counter.names, num_samples=len(samples), k=k, world=self.world)
        log.info(
            "%s: hit rate %.4f at %d (random users %.4f), %.4f at 1, mean length %.1f",
            split, quality["hit_rate"], k, quality["random_hit_rate"], quality.get("hit_rate@1", np.nan),
            quality["mean_length"],
        )  # fmt: skip
        num_short = int(self.world.sum(short))
        if num_short and self.world.is_main:
            why = " with a history before the target" if self.rules.past_only else ""
            log.warning("%s: %d samples have fewer than %d neighbours: no more users%s", split, num_short, k, why)
        compared = {} if self.other is None else self.compare(self.other, split, samples, counter, seed=seed)
        recall: dict[str, float] = {}
        for way in (self.way, *([] if self.other is None else [self.other])):
            recall |= measure_recall(way, split, samples, block=self.config.block, seed=seed, world=self.world)
        return {"num_samples": len(samples), "num_short": num_short, "k": k, **quality, **compared, **recall}

    def compare(
        self, other: Way, split: Split, samples: Samples, counter: HitCounter, *, seed: int
    ) -> dict[str, float]:
        """The quality of what the other way finds for some of the samples, drawn with the seed."""
        rows = draw_rows(len(samples), MOST_COMPARED, seed=seed)
        counts = np.zeros(len(counter.names), dtype=np.int64)
        for block in block_ranges(range(len(rows)), self.config.block):
            raise_if_stopped(self.world, f"the quality of {split}")
            asked = rows[block.start : block.stop]
            cuts = even_cuts(len(asked), self.world.size)
            neighbours = self.rules.keys.samples_at(other.answer(split, samples, asked, cuts)[1])
            own = asked[cuts[self.world.rank] : cuts[self.world.rank + 1]]
            counts += counter.count(neighbours, samples.target[own])
        quality = rates(
            {f"{other.score}_": counts}, names=counter.names, num_samples=len(rows), k=self.rules.k, world=self.world
        )
        name = f"{other.score}_hit_rate"
        log.info(
            "%s by %s: hit rate %.4f at %d, %.4f at 1", split, other.score, quality[name], self.rules.k,
            quality.get(f"{name}@1", np.nan),
        )  # fmt: skip
        return {"num_compared": len(rows), **quality}


if __name__ == "__main__":
    main()
