"""Find the kindred users of every train, valid and test sample.

    torchrun --nproc-per-node 8 -m retrieval.neighbours --config launch/recipes/demo.yaml

Every rank holds its share of the train vectors; blocks of samples are asked of all shards at once and the answers
merged exactly, so the tables are the same, byte for byte, for any number of ranks. Each finished block is a file that
an interrupted start leaves to the next.
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
from launch.progress import progress
from launch.stage import entry_point, open_stage, parse_job
from launch.stopping import raise_if_stopped, work_begins
from launch.tracking import Tracker, open_tracker
from launch.watch.beats import beat, long
from pairs.row_parts import finished_parts, missing_rows, part_path
from pairs.tables import SPLITS, Ints, Samples, Split, load_pair, load_samples
from retrieval.config import RetrievalConfig
from retrieval.fixed_point import Floats
from retrieval.index import TopKIndex
from retrieval.keys import Keys, unique_histories
from retrieval.kindred import Asking, find_kindred
from retrieval.neighbour_tables import NeighbourTable, join_parts, parts_folder, remove_parts, table_path, write_part
from retrieval.quality import HitCounter, random_kindred, rates
from retrieval.sharded import ShardedIndex, build_index
from retrieval.vectors import UserVectors, fit_tables, key_source, longest_key, open_vectors

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
    samples = {split: load_samples(run_dir, split) for split in SPLITS}
    train = samples["train"]
    keys = unique_histories(train)
    if len(np.unique(keys.user)) < 2:
        raise InputError(f"{run_dir / 'pair' / 'train.parquet'}: retrieval needs histories of at least two train users")
    past_only = decide_past_only(config.past_only, samples, order=read_json(run_dir / "pair" / "card.json")["order"])
    fit_tables(run_dir, config, items=pair.items, train=train, keys=keys, seed=seed, world=world)
    vectors = open_vectors(run_dir, config.part_weights())
    longest = longest_key(vectors, train, keys, world=world) if config.similarity == "inner_product" else None
    search = Search(
        config, run_dir=run_dir, keys=keys, vectors=vectors, longest=longest, past_only=past_only, world=world
    )
    with long("building the index"):
        indexes = search.build_indexes(train)
    work_begins()
    for split in SPLITS:
        search.write_split(split, samples[split], indexes, tracker=tracker)
    quality = {}
    for split in SPLITS:
        raise_if_stopped(world, f"the quality of {split}")
        quality[split] = search.measure(split, samples[split], train, seed=seed)
    if world.is_main:
        write_json(run_dir / "neighbours" / "quality.json", quality)
        write_json(
            run_dir / "neighbours" / "meta.json",
            {
                "part_weights": config.part_weights(),
                "longest_key": longest,
                "num_neighbours": config.num_neighbours,
                "past_only": past_only,
                "num_keys": len(keys),
            },
        )
        remove_parts(run_dir)
    for split, of_split in quality.items():
        tracker.log({f"retrieve/{split}_{name}": rate for name, rate in of_split.items()}, step=0)


def decide_past_only(wanted: bool | None, samples: dict[Split, Samples], *, order: str) -> bool:
    """Whether neighbours must end before a sample's target: as configured, or as the pair's order says.

    Without it, a user who shopped later lends a sample what could not have been known when it was asked. Where the
    order is synthetic, times mean nothing and nothing is filtered.
    """
    timed = all(len(part) == 0 or part.target_time is not None for part in samples.values())
    if wanted and not timed:
        raise InputError("retrieval.past_only=true needs a pair with times, this one has none; set it to null or false")
    if wanted is None:
        return timed and order == "chronological"
    return wanted


@dataclass(frozen=True)
class Search:
    """What answering a split needs."""

    config: RetrievalConfig
    run_dir: Path
    keys: Keys
    vectors: UserVectors
    longest: float | None
    """The longest key vector, for inner products; None for cosines."""
    past_only: bool
    world: World

    def build_indexes(self, train: Samples) -> tuple[TopKIndex, TopKIndex]:
        """The sharded index towards X and the one towards Y; one and the same where no part knows domains."""
        started = time.monotonic()
        share = self.world.share(len(self.keys))
        rows = self.keys.row[share.start : share.stop]
        source = key_source(self.vectors, longest=self.longest)
        domains = (0, 1) if "model" in self.vectors.parts else (0,)
        indexes = []
        for domain in domains:
            key_vectors = source.rows("train", train, rows, domain)
            ids = self.keys.sample[share.start : share.stop]
            shard = build_index(self.config.index, key_vectors, ids, device=self.world.device)
            indexes.append(ShardedIndex(self.world, shard))
        sizes = self.world.gather_objects(len(share))
        log.info(
            "%s index of %d train histories, width %d, over %d rank(s) with %s; built in %.1f s",
            self.config.index, len(self.keys), key_vectors.shape[1], self.world.size, sizes,
            time.monotonic() - started,
        )  # fmt: skip
        return indexes[0], indexes[-1]

    def write_split(
        self, split: Split, samples: Samples, indexes: tuple[TopKIndex, TopKIndex], *, tracker: Tracker
    ) -> None:
        """Find the neighbours of one split, block by block, and join the blocks that ranks took turns to write."""
        path, folder = table_path(self.run_dir, split), parts_folder(self.run_dir, split)
        if self.world.ask_main(path.is_file):
            return
        done = self.world.ask_main(lambda: finished_parts(folder))
        todo = [block for gap in missing_rows(len(samples), done) for block in block_ranges(gap, self.config.block)]
        started, asked = time.monotonic(), 0
        for number, block in enumerate(progress(todo, label=f"neighbours of {split}", world=self.world)):
            raise_if_stopped(self.world, f"{split} sample {block.start}")
            rows = np.arange(block.start, block.stop)
            scores, neighbours = self.answer(split, samples, rows, indexes)
            asked += len(rows)
            if number % self.world.size == self.world.rank:
                part = part_path(folder, block)
                write_part(part, sample=samples.sample[rows], neighbours=neighbours, scores=scores)
        self.world.barrier()
        speed = asked / max(1e-9, time.monotonic() - started)
        if self.world.is_main:
            parts = finished_parts(folder)
            assert not missing_rows(len(samples), parts)
            join_parts(path, [part_path(folder, rows) for rows in parts])
        self.world.barrier()
        log.info("%s: %d samples, %.0f queries/s over %d rank(s)", split, len(samples), speed, self.world.size)
        tracker.log({f"retrieve/{split}_queries_per_second": speed}, step=0)

    def answer(
        self, split: Split, samples: Samples, rows: Ints, indexes: tuple[TopKIndex, TopKIndex]
    ) -> tuple[Floats, Ints]:
        """Scores and neighbours [len(rows), num_neighbours], each row towards its target's domain."""
        k = self.config.num_neighbours
        scores = np.empty((len(rows), k), dtype=np.float32)
        neighbours = np.empty((len(rows), k), dtype=np.int64)
        for domain in (0, 1):
            places = np.flatnonzero(samples.domain[rows] == domain)
            asking = self.asking(samples, rows[places], self.vectors.rows(split, samples, rows[places], domain))
            scores[places], neighbours[places] = find_kindred(indexes[domain], asking, k, keys=self.keys)
        return scores, neighbours

    def asking(self, samples: Samples, rows: Ints, vectors: Floats) -> Asking:
        """Who asks, for `rows` of `samples`."""
        before = samples.target_time[rows] if self.past_only and samples.target_time is not None else None
        return Asking(vectors, samples.user[rows], before)

    def measure(self, split: Split, samples: Samples, train: Samples, *, seed: int) -> dict[str, float]:
        """The quality of one split's table; each rank counts its share of the blocks."""
        k = self.config.num_neighbours
        counter = HitCounter(train, self.keys, cuts=[*(cut for cut in self.config.quality_at if cut < k), k])
        table = NeighbourTable(self.run_dir, split)
        nearest = np.zeros(len(counter.names), dtype=np.int64)
        random = np.zeros_like(nearest)
        short = torch.zeros(1, dtype=torch.int64)
        for block in self.world.share(table.num_blocks):
            beat(phase=f"quality of {split}")
            sample, neighbours = table.block(block, k)
            rows = np.arange(table.starts[block], table.starts[block + 1])
            assert np.array_equal(sample, samples.sample[rows])
            asking = self.asking(samples, rows, np.empty((len(rows), 0), np.float32))
            drawn = random_kindred(self.keys, asking, k, seed=(seed, SPLITS.index(split), block))
            nearest += counter.count(neighbours, samples.target[rows])
            random += counter.count(drawn, samples.target[rows])
            short += int((neighbours < 0).any(axis=1).sum())
        quality = rates(nearest, random, names=counter.names, num_samples=len(samples), k=k, world=self.world)
        log.info(
            "%s: hit rate %.4f at %d (random users %.4f), %.4f at 1, mean length %.1f",
            split, quality["hit_rate"], k, quality["random_hit_rate"], quality.get("hit_rate@1", np.nan),
            quality["mean_length"],
        )  # fmt: skip
        num_short = int(self.world.sum(short))
        if num_short and self.world.is_main:
            why = " with a history before the target" if self.past_only else ""
            log.warning("%s: %d samples have fewer than %d neighbours: no more users%s", split, num_short, k, why)
        return {"num_samples": len(samples), "num_short": num_short, "k": k, **quality}


def block_ranges(rows: range, block: int) -> list[range]:
    """`rows` in blocks, whatever the number of ranks."""
    return [rows[start : start + block] for start in range(0, len(rows), block)]


if __name__ == "__main__":
    main()
