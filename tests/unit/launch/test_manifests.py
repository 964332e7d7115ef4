"""Manifests: what holds is skipped, what changed runs again, what was interrupted resumes or is wiped."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from launch.errors import InputError
from launch.manifests import begin, finish, make_intent, why_stale
from launch.options.fields import Decides, Means
from launch.stage import Job, open_stage
from launch.stages import stage_named

PREPARE, PRETRAIN, RETRIEVE = (stage_named(name) for name in ("prepare", "pretrain", "retrieve"))


@dataclass(frozen=True)
class Config:
    width: Decides[int] = 1


def write(run_dir: Path, name: str, text: str) -> None:
    (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (run_dir / name).write_text(text, encoding="utf-8")


def job(run_dir: Path, stage: str, width: int = 1) -> Job[Any]:
    return Job(stage=stage_named(stage), config=Config(width), seed=1, run_dir=run_dir, recipe_name="r")


def run_all(run_dir: Path, text: str = "items") -> None:
    for stage, file in (("prepare", "pair/items.parquet"), ("pretrain", "graph/model.safetensors")):
        with open_stage(job(run_dir, stage)):
            write(run_dir, file, text)


def intent(run_dir: Path, stage: Any, width: int = 1) -> Any:
    return make_intent(run_dir, stage, config=Config(width), seed=1)


def test_finished_stage_holds(tmp_path: Path) -> None:
    run_all(tmp_path)
    assert why_stale(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN)) is None


def test_changed_configuration_names_the_key(tmp_path: Path) -> None:
    run_all(tmp_path)
    assert "graph.width was 1, now 2" in str(why_stale(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2)))


def test_new_upstream_content_makes_downstream_stale(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open_stage(job(tmp_path, "prepare")):
        write(tmp_path, "pair/items.parquet", "other")
    assert "what prepare wrote has changed" in str(why_stale(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN)))


def test_same_upstream_content_keeps_downstream(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open_stage(job(tmp_path, "prepare", width=2)):
        write(tmp_path, "pair/items.parquet", "items")
    assert why_stale(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN)) is None


def test_edited_file_of_equal_size_is_seen(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "pair/items.parquet", "ITEMS")
    assert "pair/items.parquet has other content" in str(why_stale(tmp_path, PREPARE, intent(tmp_path, PREPARE)))


def test_touched_file_of_equal_content_still_holds(tmp_path: Path) -> None:
    run_all(tmp_path)
    os.utime(tmp_path / "pair/items.parquet", (1, 1))
    assert why_stale(tmp_path, PREPARE, intent(tmp_path, PREPARE)) is None


def test_stale_artifact_is_refused_by_the_stage_that_reads_it(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "pair/items.parquet", "edited")
    with pytest.raises(InputError, match=r"prepare is stale: pair/items"), open_stage(job(tmp_path, "pretrain")):
        pass


def test_stage_two_steps_down_refuses_a_stale_middle(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open_stage(job(tmp_path, "prepare")):
        write(tmp_path, "pair/items.parquet", "other")
    with pytest.raises(InputError, match="pretrain is stale"), open_stage(job(tmp_path, "retrieve")):
        pass


def test_missing_upstream_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run `kinrec prepare`"), open_stage(job(tmp_path, "pretrain")):
        pass


def test_interrupted_start_keeps_its_checkpoints(tmp_path: Path) -> None:
    run_all(tmp_path)
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    write(tmp_path, "graph/checkpoints/step-1.pt", "state")
    assert begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    assert (tmp_path / "graph/checkpoints/step-1.pt").is_file()


def test_other_intent_wipes_what_an_interrupted_start_left(tmp_path: Path) -> None:
    run_all(tmp_path)
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    write(tmp_path, "graph/checkpoints/step-1.pt", "state")
    write(tmp_path, "lists/graph_valid.parquet", "list")
    assert not begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=3))
    assert not (tmp_path / "graph/checkpoints/step-1.pt").exists()
    assert not (tmp_path / "lists/graph_valid.parquet").exists()


def test_wiped_stage_leaves_no_empty_folder_that_looks_finished(tmp_path: Path) -> None:
    write(tmp_path, "pair/items.parquet", "kept")
    write(tmp_path, "graph/vectors/train_X.npy", "vectors")
    write(tmp_path, "lists/graph_valid.parquet", "list")
    write(tmp_path, "lists/llm_valid.parquet", "another stage's")
    assert not begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN))
    assert not (tmp_path / "graph").exists()
    assert (tmp_path / "lists/llm_valid.parquet").is_file()
    assert (tmp_path / "pair/items.parquet").is_file()


def test_failed_stage_leaves_no_manifest(tmp_path: Path) -> None:
    run_all(tmp_path)
    with pytest.raises(RuntimeError), open_stage(job(tmp_path, "pretrain", width=2)):
        raise RuntimeError
    assert why_stale(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN)) == "it has not finished"


def test_changed_raw_file_makes_prepare_stale(tmp_path: Path) -> None:
    write(tmp_path, "outside.txt", "raw")
    wanted = intent(tmp_path, PREPARE)
    begin(tmp_path, PREPARE, wanted)
    finish(tmp_path, PREPARE, wanted, external=[tmp_path / "outside.txt"], facts={"seconds": 0.0, "world_size": 1})
    assert why_stale(tmp_path, PREPARE, wanted) is None
    write(tmp_path, "outside.txt", "new")
    assert "outside.txt has changed" in str(why_stale(tmp_path, PREPARE, wanted))


@dataclass(frozen=True)
class Parts:
    """A configuration inside another, with a field that only says how."""

    inner: Config = field(default_factory=Config)
    threads: Means[int] = 1


def test_how_a_stage_works_makes_nothing_stale_and_what_it_makes_does(tmp_path: Path) -> None:
    def stale(parts: Parts) -> str | None:
        return why_stale(tmp_path, PREPARE, make_intent(tmp_path, PREPARE, config=parts, seed=1))

    with open_stage(Job(stage=PREPARE, config=Parts(), seed=1, run_dir=tmp_path, recipe_name="r")):
        write(tmp_path, "pair/items.parquet", "items")
    assert stale(Parts()) is None
    assert stale(Parts(threads=8)) is None
    assert "pair.inner was" in str(stale(Parts(inner=Config(2))))
