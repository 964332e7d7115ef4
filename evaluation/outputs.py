"""What evaluate writes beside its report: the lists made here, every target's rank, the trees, the plots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.list_parts import write_own_lists
from evaluation.list_ranker.final import ListRanker
from evaluation.list_ranker.store import remove_trees, save_trees
from evaluation.ranked_lists import write_lists
from evaluation.report.plot_style import Plot
from evaluation.report.publish import publish_plots
from evaluation.systems.contents import Judgement
from evaluation.systems.sources import Judged, list_path
from launch.artifacts import atomic_file
from launch.distributed import World

Json = dict[str, Any]  # Any: plain JSON values


def write_judged_lists(judged: Mapping[Judged, Judgement], run_dir: Path, world: World | None) -> None:
    """Every list that is made here; a rank holds those of the samples that it has judged. A collective."""
    for split, judgement in judged.items():
        for system, lists in judgement.verdict.lists.items():
            path = list_path(run_dir, system, split)
            if world is None or world.size == 1:
                write_lists(path, lists)
            else:
                write_own_lists(path, lists, folder=run_dir / "report" / "parts", world=world)


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
