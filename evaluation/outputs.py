"""What evaluate writes beside its report: the lists made here, every target's rank, the trees, the plots."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.list_parts import Keep, keeping, read_parts
from evaluation.list_ranker.final import ListRanker
from evaluation.list_ranker.store import remove_trees, save_trees
from evaluation.ranked_lists import RankedLists, write_list_blocks
from evaluation.report.plot_style import Plot
from evaluation.report.publish import publish_plots
from evaluation.systems.blocks import ROWS_AT_ONCE
from evaluation.systems.contents import Judgement
from evaluation.systems.fusion import refine_as_paper
from evaluation.systems.sources import Judged, list_path
from launch.artifacts import atomic_file
from launch.distributed import ALONE, World

Json = dict[str, Any]  # Any: plain JSON values


class KeptLists:
    """The lists that are made here: by rank in files of their own while the stage works, by system at its end."""

    def __init__(self, run_dir: Path, depth: int, world: World | None) -> None:
        self.run_dir, self.depth, self.world = run_dir, depth, world or ALONE
        self.folder = run_dir / "report" / "parts"
        if self.world.is_main:  # what a killed start has left
            shutil.rmtree(self.folder, ignore_errors=True)
        self.world.barrier()

    @contextmanager
    def of_split(self, split: Judged, systems: Iterable[str]) -> Iterator[Keep]:
        """What takes the lists of a split; a collective."""
        with keeping(self.folder / split, systems, self.depth, self.world) as keep:
            yield keep

    def publish(self, judged: Mapping[Judged, Judgement], systems: Iterable[str]) -> None:
        """`lists/SYSTEM_SPLIT.parquet` of all that was kept, and the paper's refinement; a collective."""
        if self.world.is_main:
            for split, judgement in judged.items():
                for system in systems:
                    kept = read_parts(self.folder / split, system, self.depth, self.world)
                    write_list_blocks(list_path(self.run_dir, system, split), kept)
                if judgement.verdict.replaced is not None:
                    write_list_blocks(list_path(self.run_dir, "paper_refined", split), _refined(judgement))
            shutil.rmtree(self.folder)
        self.world.barrier()


def _refined(judgement: Judgement) -> Iterator[RankedLists]:
    replaced_N = judgement.verdict.replaced
    assert replaced_N is not None
    order = np.argsort(judgement.samples.sample, kind="stable")
    for start in range(0, len(order), ROWS_AT_ONCE):
        rows = order[start : start + ROWS_AT_ONCE]
        lists = judgement.sources.take(rows).lists
        yield refine_as_paper(lists["graph"], lists["llm"], replaced_N[rows])


def write_beside(
    judged: Mapping[Judged, Judgement], ranker: ListRanker | None, card: Json, run_dir: Path
) -> list[Plot]:
    """What stands beside the report: every target's rank, the trees, the plots."""
    for split, judgement in judged.items():
        _write_ranks(run_dir / "report" / f"ranks_{split}.parquet", judgement)
    if ranker is None:
        remove_trees(run_dir)
    else:
        save_trees(ranker, run_dir)
    return publish_plots(card, run_dir / "report")


def _write_ranks(path: Path, judgement: Judgement) -> None:
    """Every sample's target rank by every system (null: not ranked), for `kinrec compare`."""
    columns = {"sample": judgement.samples.sample, "user": judgement.samples.user, "domain": judgement.samples.domain}
    for name, ranks_N in judgement.verdict.ranks.items():
        columns[name] = pa.array(np.where(np.isinf(ranks_N), 0, ranks_N).astype(np.int64), mask=np.isinf(ranks_N))
    with atomic_file(path) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")
