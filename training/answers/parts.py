"""Answer every prompt of a split, in parts that any rank can write and a killed run finds again.

The prompts are sorted by length and cut into batches of equal token counts, a few batches to a part. That plan depends
on nothing but the prompts and the configuration, so the same batches run, and the same numbers come out, whatever the
number of ranks and however often the run was killed. A start with other batch sizes keeps the parts that are there and
cuts the rest its own way.
"""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.ranked_lists import RankedLists, write_lists
from launch.artifacts import atomic_file
from launch.distributed import World
from launch.errors import InputError
from launch.progress import progress
from launch.stopping import Stopped, is_asked, work_begins
from launch.watch.beats import long
from pairs.draws import draw_rows
from pairs.ragged import places_of, rows_of
from pairs.row_parts import finished_parts, missing_rows, part_path
from pairs.tables import Ints, Split, load_samples
from training.answers.answer_lists import Answers
from training.answers.questions import Answering, Questions
from training.ranking.candidates import CandidateLists, read_candidates

log = logging.getLogger(__name__)
GENERATED: tuple[Split, ...] = ("valid", "test")
STOP = "kinrec: stop"
ROWS_AT_ONCE = 8192
PAPER_TOP = 5
"""URLLM refines by the first m = 5 texts (docs/method.md#answers)."""


@dataclass(frozen=True)
class PromptTable:
    """The prompts of a split without their answers, memory-mapped; row i is whichever sample `sample` says."""

    dataset: Any  # Any: datasets is untyped
    place: Ints  # [N], of each row in the dataset
    sample: Ints  # [N]
    domain: Ints  # [N]
    lengths: Ints  # [N], tokens

    def questions(self, rows: Ints) -> Questions:
        """Some of them as they are asked."""
        return Questions(self.sample[rows], self.prompts(rows), self.domain[rows], self.candidates(rows))

    def candidates(self, rows: Ints) -> CandidateLists:
        """The items that may be ranked for some of them."""
        return read_candidates(self.dataset, self.place[rows])

    def prompts(self, rows: Ints) -> list[list[int]]:
        """The token ids of some prompts."""
        tokens = self.dataset.with_format("arrow")[self.place[rows].tolist()]["input_ids"].to_pylist()
        return [ids[:length] for ids, length in zip(tokens, self.lengths[rows].tolist(), strict=True)]


def read_prompts(run_dir: Path, split: Split, *, max_samples: int | None, seed: int) -> PromptTable:
    """prompts/SPLIT, or `max_samples` of them drawn by `seed`; joined to the samples' domains by sample id."""
    folder = run_dir / "prompts" / split
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; run `kinrec tokenize` first")
    dataset = datasets.load_from_disk(str(folder))
    sample = np.asarray(dataset.data["sample"], dtype=np.int64)
    if len(sample) == 0:
        raise InputError(f"{folder}: no prompts; prepare a pair with samples in every split")
    place = draw_rows(len(sample), max_samples, seed=seed)
    samples = load_samples(run_dir, split)
    return PromptTable(
        dataset=dataset,
        place=place,
        sample=sample[place],
        domain=samples.domain[samples.row_of(sample[place])],
        lengths=np.asarray(dataset.data["prompt_length"], dtype=np.int64)[place],
    )


def plan_batches(lengths: Ints, places: range, *, batch_tokens: int) -> list[range]:
    """`places` in batches of as many prompts as `batch_tokens` allow, given falling lengths [N]."""
    batches, start = [], places.start
    while start < places.stop:
        count = max(1, batch_tokens // max(1, int(lengths[start])))
        batches.append(range(start, min(start + count, places.stop)))
        start += count
    return batches


def generate_split(answerer: Answering, prompts: PromptTable, *, run_dir: Path, split: Split, world: World) -> None:
    """Write lists/llm_SPLIT.parquet, unless an interrupted start has: every rank its parts, rank 0 the table."""
    table = run_dir / "lists" / f"llm_{split}.parquet"
    if world.ask_main(table.is_file):
        log.info("%s: found whole", table.name)
        return
    folder = run_dir / "generated" / "parts" / split
    done: list[range] = world.ask_main(lambda: finished_parts(folder))
    work_begins()
    if world.any(write_parts(answerer, prompts, done=done, folder=folder, label=split, world=world)):
        raise Stopped(f"prompt {sum(map(len, finished_parts(folder)))} of {split}")
    if world.is_main:
        parts = finished_parts(folder)
        assert not missing_rows(len(prompts.sample), parts)
        join_parts(table, [part_path(folder, places) for places in parts])
        shutil.rmtree(folder)
    world.barrier()


def write_parts(
    answerer: Answering, prompts: PromptTable, *, done: Sequence[range], folder: Path, label: str, world: World
) -> bool:
    """Write this rank's share of the parts that are not `done`; whether it left some because a rank is to stop.

    A part is a range of places in the order of falling length: a batch that does not fit in memory fails at once.
    """
    config = answerer.config
    lengths = _tokens(answerer, prompts)
    order = np.lexsort((prompts.sample, -lengths))
    parts = []
    for gap in missing_rows(len(order), done):
        batches = plan_batches(lengths[order], gap, batch_tokens=config.batch_tokens)
        parts += [batches[start : start + config.part_batches] for start in range(0, len(batches), config.part_batches)]
    together = config.tensor_parallel and world.size > 1  # then all ranks answer every batch, and rank 0 writes
    todo = [(part, batch) for part in (parts if together else parts[world.rank :: world.size]) for batch in part]
    started, written = time.monotonic(), 0
    answered: list[Answers] = []
    for part, batch in progress(todo, label=f"generate {label}", world=world, alone=True):
        if _is_to_stop(world, together=together):
            if answered and (world.is_main or not together):
                write_part(part_path(folder, range(part[0].start, batch.start)), answered)
            return True
        answered.append(answer_rows(answerer, prompts, order[batch.start : batch.stop]))
        written += len(batch)
        if len(answered) == len(part):
            if world.is_main or not together:
                write_part(part_path(folder, range(part[0].start, part[-1].stop)), answered)
            answered = []
    seconds = time.monotonic() - started
    if todo:
        log.info("%s: %d prompts in %.1f s, %.1f a second and rank", label, written, seconds, written / seconds)
    return False


def _is_to_stop(world: World, *, together: bool) -> bool:
    """Whether some rank was told to stop. Those that answer batches of their own cannot agree at each: they have unlike
    many."""
    if together:
        return world.any(is_asked())
    if is_asked():
        world.tell(STOP)
    return is_asked() or world.is_told(STOP)


def answer_rows(answerer: Answering, prompts: PromptTable, rows: Ints) -> Answers:
    """The answers to some of the prompts."""
    return answerer.answer(prompts.questions(rows))


def _tokens(answerer: Answering, prompts: PromptTable) -> Ints:
    """[N] tokens that are read at once of each prompt."""
    parts = [
        answerer.tokens(prompts.lengths[rows], prompts.candidates(rows))
        for start in range(0, len(prompts.sample), ROWS_AT_ONCE)
        for rows in [np.arange(start, min(start + ROWS_AT_ONCE, len(prompts.sample)))]
    ]
    return np.concatenate(parts)


def write_part(path: Path, answered: Sequence[Answers]) -> None:
    """Several batches' answers as a table of lists."""
    lists = RankedLists(
        sample=np.concatenate([answers.lists.sample for answers in answered]),
        items=np.concatenate([answers.lists.items for answers in answered]),
        scores=np.concatenate([answers.lists.scores for answers in answered]),
    )
    columns = {
        "texts": pa.array([row for answers in answered for row in answers.texts], pa.list_(pa.string())),
        "text_scores": pa.array([row for answers in answered for row in answers.text_scores], pa.list_(pa.float32())),
        "grounded": pa.array([row for answers in answered for row in answers.grounded], pa.list_(pa.int64())),
        "in_domain": pa.array([row for answers in answered for row in answers.in_domain], pa.list_(pa.bool_())),
    }
    write_lists(path, lists, columns)


def join_parts(path: Path, parts: Sequence[Path]) -> None:
    """All parts as one table by sample id."""
    with long("joining the parts"):
        _join(path, parts)


def _join(path: Path, parts: Sequence[Path]) -> None:
    tables = [pq.read_table(part) for part in parts]
    table = pa.concat_tables(tables).combine_chunks().sort_by("sample").combine_chunks()
    with atomic_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def describe_lists(path: Path) -> dict[str, float]:
    """What the texts of a finished table are like: how many stand for no item, or for one of the other domain."""
    table = pq.read_table(path, columns=["texts", "grounded", "in_domain"])
    lists = table["in_domain"].combine_chunks()
    lengths = np.asarray(lists.value_lengths(), dtype=np.int64)
    inside = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=bool)
    row, place = rows_of(lengths), places_of(lengths)
    first_outside = np.bincount(row[(place == 0) & inside], minlength=len(lengths)) == 0
    any_outside = np.bincount(row[(place < PAPER_TOP) & ~inside], minlength=len(lengths)) > 0
    return {
        "num_samples": table.num_rows,
        "num_texts": len(inside),
        "empty": int(pc.sum(pc.equal(table["texts"].combine_chunks().flatten(), "")).as_py() or 0),
        "ungrounded": int(pc.sum(pc.less(table["grounded"].combine_chunks().flatten(), 0)).as_py() or 0),
        "out_of_domain": float(1 - inside.mean()),
        "out_of_domain_first": float(first_outside.mean()),
        f"out_of_domain_any_of_{PAPER_TOP}": float(any_outside.mean()),
    }
