"""Write ranked lists: of the ranker and of its parts for valid and test; on chronological pairs those of test also from
all that is known at its cut; and what a list ranker learns from, lists of train samples that the systems left out.
"""

import dataclasses
from pathlib import Path

from evaluation.list_ranker.blocks import FitBlock, is_chronological
from evaluation.list_ranker.knowledge import known_at_cut
from evaluation.ranked_lists import RankedLists, concatenated_lists, write_lists
from graph.companions.kept import CompanionPlace, drop_companions
from graph.kept_arrays import shared_array
from graph.load import TABLES_OF_PARTS, Prepared, load_blocks
from graph.ranking.full_ranking import Judge
from graph.ranking.parts import evidence_scores, left_out_scores, system_scores
from pairs.tables import Samples, load_others, load_samples, with_others


def export_lists(judge: Judge, prepared: Prepared, run_dir: Path, *, depth: int, seed: int) -> None:
    """`lists/SYSTEM_{valid,test}.parquet` of every system in `system_scores`, on chronological pairs `SYSTEM_refit`,
    and `lists/{evidence,encoders}_train.parquet`: the target domain's best items, the history's own not removed."""
    train, valid, test = prepared.train, load_samples(run_dir, "valid"), load_samples(run_dir, "test")
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
        known = with_others(known_at_cut(train, valid, test), load_others(run_dir))
        write_systems(_at_cut(judge, prepared, known, run_dir / TABLES_OF_PARTS), test, "refit")
    blocks = load_blocks(run_dir, seed=seed) if judge.graphs.evidence is not None else []
    if blocks:
        folder = run_dir / TABLES_OF_PARTS if chronological else None
        write("evidence_train", left_out_lists(judge, prepared, blocks, depth=depth, folder=folder))
    if blocks and judge.graphs.left_out is not None:
        scores = left_out_scores(judge.ranker, judge.graphs)
        write("encoders_train", concatenated_lists([judge.lists(b.asked, depth, scores=scores) for b in blocks]))


def left_out_lists(
    judge: Judge, prepared: Prepared, blocks: list[FitBlock], *, depth: int, folder: Path | None
) -> RankedLists:
    """The evidence's lists of the blocks' samples: from what their block knows, whose companions are kept in `folder`
    meanwhile; or, where a block is a part of the users and there is no folder, from train without the user who asks."""

    def lists_of(number: int, block: FitBlock) -> RankedLists:
        known = judge
        if folder is not None:
            place = CompanionPlace(folder / f"companions-block-{number}", judge.world)
            samples = with_others(block.known, block.others)
            graphs = prepared.source.graphs_of(samples, votes=False, place=place)
            known = dataclasses.replace(judge, graphs=graphs.to(judge.world.device))
        scores = evidence_scores(judge.ranker.evidence, known.graphs, leave_own=folder is None)
        lists = known.lists(block.asked, depth, scores=scores)
        if folder is not None:
            drop_companions(place)
        return lists

    return concatenated_lists([lists_of(number, block) for number, block in enumerate(blocks)])


def _at_cut(judge: Judge, prepared: Prepared, known: Samples, folder: Path) -> Judge:
    """The same ranker over the graphs of all that is known, whose tables are in `folder` meanwhile."""
    source = prepared.source
    late = source.settings.model.encoder == "late"
    factors = shared_array(folder / "cut.npy", lambda: source.factorise(known), judge.world) if late else None
    place = CompanionPlace(folder / "companions-cut", judge.world)
    graphs = source.graphs_of(known, factors=factors, place=place)
    return dataclasses.replace(judge, graphs=graphs.to(judge.world.device))
