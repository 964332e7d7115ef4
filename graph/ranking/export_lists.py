"""Write ranked lists: of the ranker and of its parts for valid and test; on chronological pairs those of test also from
all that is known at its cut; and what a list ranker learns from, lists of train samples that the evidence left out.
"""

import dataclasses
from pathlib import Path

from evaluation.list_ranker.blocks import FitBlock, is_chronological, make_blocks
from evaluation.list_ranker.knowledge import known_at_cut
from evaluation.ranked_lists import RankedLists, concatenated_lists, write_lists
from graph.load import Prepared
from graph.ranking.full_ranking import Judge
from graph.ranking.parts import evidence_scores, system_scores
from pairs.tables import Samples, load_others, load_samples, with_others


def export_lists(judge: Judge, prepared: Prepared, run_dir: Path, *, depth: int, seed: int) -> None:
    """`lists/SYSTEM_{valid,test}.parquet` of every system in `system_scores`, on chronological pairs `SYSTEM_refit`,
    and `lists/evidence_train.parquet`: the target domain's best items, the history's own not removed."""
    train, valid, test = prepared.train, load_samples(run_dir, "valid"), load_samples(run_dir, "test")
    others = load_others(run_dir)
    chronological = is_chronological(train, valid, test)

    def write(name: str, lists: RankedLists) -> None:
        if judge.world.is_main:
            write_lists(run_dir / "lists" / f"{name}.parquet", lists)

    def write_systems(asked: Judge, samples: Samples, of_what: str) -> None:
        for name, scores in system_scores(asked).items():
            write(f"{name}_{of_what}", asked.lists(samples, depth, scores=scores))

    write_systems(judge, valid, "valid")
    write_systems(judge, test, "test")
    if chronological:  # the graphs made for it are as large as train's, and gone when it is done
        known = with_others(known_at_cut(train, valid, test), others)
        write_systems(_knowing(judge, prepared, known), test, "refit")
    if judge.graphs.evidence is not None:
        blocks = make_blocks(train, seed=seed, chronological=chronological, others=others)
        if blocks:
            write("evidence_train", left_out_lists(judge, prepared, blocks, depth=depth, chronological=chronological))


def left_out_lists(
    judge: Judge, prepared: Prepared, blocks: list[FitBlock], *, depth: int, chronological: bool
) -> RankedLists:
    """The evidence's lists of the blocks' samples: from what their block knows or, where a block is a part of the
    users, from train without the user who asks."""

    def lists_of(block: FitBlock) -> RankedLists:
        known = _knowing(judge, prepared, with_others(block.known, block.others)) if chronological else judge
        scores = evidence_scores(judge.ranker.evidence, known.graphs, leave_own=not chronological)
        return known.lists(block.asked, depth, scores=scores)

    return concatenated_lists([lists_of(block) for block in blocks])


def _knowing(judge: Judge, prepared: Prepared, known: Samples) -> Judge:
    """The same ranker over the graphs of other samples."""
    return dataclasses.replace(judge, graphs=prepared.source.graphs_of(known).to(judge.world.device))
