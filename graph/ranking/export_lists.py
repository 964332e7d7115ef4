"""Write ranked lists: of the ranker and of its parts for valid and test; on chronological pairs those of test also from
all that is known at its cut; and what a list ranker learns from, lists of train samples that the systems left out.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.list_ranker.blocks import FitBlock, is_chronological
from evaluation.list_ranker.knowledge import known_at_cut
from graph.build import Graphs
from graph.companions.kept import CompanionPlace
from graph.kept_arrays import shared_array
from graph.load import TABLES_OF_PARTS, Prepared, load_blocks
from graph.ranking.full_ranking import Judge
from graph.ranking.knowing import asked_of
from graph.ranking.list_parts import Question, write_ranked, write_systems
from graph.ranking.parts import evidence_by_size, left_out_scores, system_scores, systems_of
from pairs.draws import sample_of_users
from pairs.known import load_others, with_others
from pairs.tables import Samples, joined, load_samples


def export_lists(
    judge: Judge, prepared: Prepared, run_dir: Path, *, depth: int, seed: int, held_out: int | None = None
) -> None:
    """Write the target domain's best items, the history's own not removed: of every system in `system_scores`
    `lists/SYSTEM_{valid,test}.parquet`, on chronological pairs `SYSTEM_refit` and, of those that read the clock,
    `SYSTEM_rolling`; and `lists/{evidence,encoders}_train.parquet`.

    Args:
        held_out: samples of valid, and of test, that are asked about; None: all.
    """
    train, valid, test = prepared.train, load_samples(run_dir, "valid"), load_samples(run_dir, "test")
    chronological = is_chronological(train, valid, test)
    of_valid, of_test = (sample_of_users(part, held_out, seed) for part in (valid, test))

    def write(name: str, asked: Iterator[Question]) -> None:
        write_ranked(run_dir, name, asked, depth=depth, world=judge.world)

    def write_all(asked: Judge, samples: Samples, of_what: str, systems: Sequence[str] | None = None) -> None:
        systems = systems_of(asked) if systems is None else systems
        write_systems(run_dir, of_what, asked, samples, system_scores(asked, systems), systems, depth=depth)

    write_all(judge, of_valid, "valid")
    write_all(judge, of_test, "test")

    others = load_others(run_dir)

    def write_at_cut() -> None:
        """The graphs made for it are as large as train's, and gone when it is done; so are what was near in train's,
        and the purchases that graphs and clocks are made of once they are made."""
        for votes in judge.graphs.votes or ():
            votes.nearest.forget()
        known = known_at_cut(train, valid, test)
        asked = _at_cut(judge, prepared, with_others(known, others), run_dir / TABLES_OF_PARTS)
        del known
        write_all(asked, of_test, "refit")
        if reads_clock(asked.graphs):
            sold = joined(joined(train, valid), test)
            asked = _rolling(asked, prepared, with_others(sold, others))
            del sold
            write_all(asked, of_test, "rolling", READ_CLOCK)

    if chronological:
        write_at_cut()
    blocks = load_blocks(run_dir, seed=seed) if judge.graphs.evidence is not None else []
    if blocks:
        folder = run_dir / TABLES_OF_PARTS if chronological else None
        write("evidence_train", of_blocks(judge, prepared, blocks, folder=folder))
    if blocks and judge.graphs.left_out is not None:
        scores = left_out_scores(judge.ranker, judge.graphs)
        write("encoders_train", iter([(judge, block.asked, scores) for block in blocks]))


def of_blocks(judge: Judge, prepared: Prepared, blocks: list[FitBlock], *, folder: Path | None) -> Iterator[Question]:
    """The blocks' samples and what the evidence says to them: from what their block knows, whose companions are kept in
    `folder` meanwhile; or, where a block is a part of the users and there is no folder, from train without the user who
    asks."""
    for number, block in enumerate(blocks):
        if folder is None:
            yield judge, block.asked, evidence_by_size(judge, leave_own=True)
            continue
        place = CompanionPlace(folder / f"companions-block-{number}", judge.world)
        yield from asked_of(
            judge, prepared, with_others(block.known, block.others), [block.asked], place, leave_own=False
        )


READ_CLOCK = ("graph", "evidence")
"""Systems that say something else where sales are counted as they come in."""


def reads_clock(graphs: Graphs) -> bool:
    """Whether the evidence is told what sold when."""
    return graphs.evidence is not None and graphs.evidence[0].clock is not None


def _rolling(at_cut: Judge, prepared: Prepared, sold: Samples) -> Judge:
    """The same where everybody's sales are counted until each question, strictly before it."""
    graphs = at_cut.graphs.with_sales(sold, prepared.source.settings)
    return dataclasses.replace(at_cut, graphs=graphs.to(at_cut.world.device))


def _at_cut(judge: Judge, prepared: Prepared, known: Samples, folder: Path) -> Judge:
    """The same ranker over the graphs of all that is known, whose tables are in `folder` meanwhile."""
    source = prepared.source
    late = source.settings.model.encoder == "late"
    factors = shared_array(folder / "cut.npy", lambda: source.factorise(known), judge.world) if late else None
    place = CompanionPlace(folder / "companions-cut", judge.world)
    graphs = source.graphs_of(known, factors=factors, place=place)
    return dataclasses.replace(judge, graphs=graphs.to(judge.world.device))
