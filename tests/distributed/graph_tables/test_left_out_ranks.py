"""What is expected of train samples does not depend on how many ranks rank them."""

from dataclasses import replace
from pathlib import Path

import pytest

from graph.load import make_ranker, prepare
from graph.ranking.full_ranking import Judge
from graph.ranking.left_out import export_left_out
from launch.artifacts import sha256_file
from launch.distributed import World
from tests.graph_runs import ALONE, tiny, write_run
from tests.ranks import run_ranks

CONFIG = replace(tiny(), encode_batch=7)


def export(world: World, run_dir: Path, most: int | None) -> None:
    prepared = prepare(run_dir, CONFIG, world)
    ranker = make_ranker(prepared, CONFIG, seed=1, device=world.device).eval()
    export_left_out(Judge(ranker, prepared.graphs, CONFIG, world), prepared, run_dir, depth=10, most=most, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "most"), [(2, None), (3, None), (3, 25)])
def test_any_number_of_ranks_writes_the_same_bytes(tmp_path: Path, size: int, most: int | None) -> None:
    digests = []
    for name in ("alone", "ranks"):
        write_run(tmp_path / name)
        if name == "alone":
            export(ALONE, tmp_path / name, most)
        else:
            run_ranks(export, size, tmp_path / name, most)
        folder = tmp_path / name / "graph" / "left_out"
        digests.append({path.name: sha256_file(path) for path in folder.iterdir()})
    assert set(digests[0]) == {"samples.npy", "items.npy", "scores.npy"}
    assert digests[0] == digests[1]
