"""What the evidence expects of train samples, as if the user who asks had bought nothing.

Kindred users are sought by what a sample is expected to lead to (retrieval/posterior). Of a train sample, the evidence
has seen the very purchase that it is to expect; so here it forgets all that its user bought. On chronological pairs
train is cut into spans of time, and the samples of a span are judged from what was known when it began: as valid's
are from train, and none by purchases that came later. Files are
`graph/left_out/{samples,items,scores}.npy`.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.list_parts import read_parts
from evaluation.list_ranker.blocks import is_chronological
from evaluation.ranked_lists import NO_ITEM
from graph.companions.kept import CompanionPlace
from graph.load import TABLES_OF_PARTS, Prepared
from graph.ranking.full_ranking import Judge
from graph.ranking.knowing import asked_of
from graph.ranking.list_parts import PARTS, Question, write_parts
from graph.ranking.parts import evidence_by_size
from graph.ranking.reserved import reserve
from launch.artifacts import atomic_folder
from launch.watch.beats import beat
from pairs.draws import draw_rows
from pairs.known import as_of, load_others, with_others
from pairs.tables import Ints, Samples, load_samples

ROWS_AT_ONCE = 8192
"""Lists that memory holds; whole chunks of any size that `graph.encode_batch` is likely to have."""
TIME_SPANS = 8
"""Of a chronological pair's train samples, as many in each; every one has graphs of its own."""


@dataclass(frozen=True)
class Span:
    """Train samples that are judged alike."""

    rows: Ints
    since: int | None
    """What came until then may be known; None: all of train."""

    def known(self, train: Samples, others: Samples | None) -> Samples:
        """What may be known to a span of time."""
        assert self.since is not None
        return with_others(as_of(train, self.since), others, until=self.since)


def export_left_out(
    judge: Judge, prepared: Prepared, run_dir: Path, *, depth: int, most: int | None, seed: int
) -> None:
    """Write the `depth` best items of the target domain for every train sample or, of more, `most` that the seed draws;
    a collective."""
    train = prepared.train
    drawn = draw_rows(len(train), most, seed=seed)
    if is_chronological(train, load_samples(run_dir, "valid"), load_samples(run_dir, "test")):
        spans = [Span(np.intersect1d(span.rows, drawn), span.since) for span in time_spans(train)]
    else:
        spans = [Span(drawn, None)]
    world, asked = judge.world, _questions(judge, prepared, spans, run_dir)
    write_parts(run_dir / PARTS, "left_out", asked, depth=depth, world=world)
    if world.is_main:
        with atomic_folder(run_dir / "graph" / "left_out") as folder:
            asking = train.take(drawn)
            np.save(folder / "samples.npy", asking.sample)
            items_NK = reserve(folder / "items.npy", (len(asking), depth), np.int32)
            scores_NK = reserve(folder / "scores.npy", (len(asking), depth), np.float32)
            items_NK[:], scores_NK[:] = NO_ITEM, -np.inf
            for lists in read_parts(run_dir / PARTS, "left_out", depth, world):
                rows = asking.row_of(lists.sample)
                items_NK[rows], scores_NK[rows] = lists.items, lists.scores
            items_NK.flush()
            scores_NK.flush()
    world.barrier()


def time_spans(train: Samples) -> list[Span]:
    """Spans of train in order of time, each of what was known before its first target."""
    assert train.target_time is not None
    shares = np.arange(1, TIME_SPANS) / TIME_SPANS
    inner = np.quantile(train.target_time, shares, method="lower")
    bounds = np.unique([train.target_time.min() - 1, *inner, train.target_time.max()]).tolist()
    spans = []
    for since, until in itertools.pairwise(bounds):
        rows = np.flatnonzero((train.target_time > since) & (train.target_time <= until))
        spans.append(Span(rows, since))
    return spans


def _questions(judge: Judge, prepared: Prepared, spans: list[Span], run_dir: Path) -> Iterator[Question]:
    """Train samples, span by span; nothing of a span that knows nothing or has none."""
    train, others = prepared.train, load_others(run_dir)
    for number, span in enumerate(spans):
        if len(span.rows) == 0:
            continue
        asked = _in_blocks(train, span.rows)
        if span.since is None:
            scores = evidence_by_size(judge, leave_own=True)
            yield from ((judge, samples, scores) for samples in asked)
        else:
            place = CompanionPlace(run_dir / TABLES_OF_PARTS / f"companions-span-{number}", judge.world)
            yield from asked_of(judge, prepared, span.known(train, others), asked, place, leave_own=True)


def _in_blocks(train: Samples, rows: Ints) -> Iterator[Samples]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        beat(phase="lists of train")
        yield train.take(rows[start : start + ROWS_AT_ONCE])
