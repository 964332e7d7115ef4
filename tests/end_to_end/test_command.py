"""The command as a user meets it."""

import json
import re
import resource
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from launch.stages import STAGES
from tests.end_to_end.runs import TINY, kinrec
from training.precision import resolve_precision


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def quickest(*words: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """The command's answer and its least processor time of five, in seconds: a busy machine only adds to it."""
    times = []
    for _ in range(5):
        before = processor_seconds()
        ended = kinrec(*words)
        times.append(processor_seconds() - before)
    return ended, min(times)


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_answers_at_once(words: list[str]) -> None:
    ended, seconds = quickest(*words)
    assert seconds < 0.5
    assert ended.returncode == 0
    assert all(stage.name in ended.stdout for stage in STAGES)


def test_unknown_command_is_refused() -> None:
    ended = kinrec("trian")
    assert ended.returncode == 2
    assert "'trian'" in ended.stderr


@pytest.mark.slow
def test_status_names_every_stage_and_answers_at_once(tiny_run: Path) -> None:
    ended, seconds = quickest("status", str(tiny_run))
    assert seconds < 0.5
    assert ended.stdout.count("finished in") == len(STAGES)
    assert re.search(r"kinrec +0\.\d{4}", ended.stdout)


@pytest.mark.slow
def test_stages_that_need_ranks_ran_on_two(tiny_run: Path) -> None:
    sizes = {
        stage.name: json.loads((tiny_run / "manifests" / f"{stage.name}.json").read_text())["world_size"]
        for stage in STAGES
    }
    assert sizes == {
        "prepare": 1, "pretrain": 2, "retrieve": 2, "tokenize": 1, "finetune": 2, "generate": 2, "evaluate": 2,
    }  # fmt: skip
    assert "rank 1/2 holds 50.0 % of" in (tiny_run / "logs" / "finetune.log").read_text()


@pytest.mark.slow
def test_engine_says_what_auto_precision_became(tiny_run: Path) -> None:
    engine = json.loads((tiny_run / "llm" / "engine.json").read_text())
    assert engine["precision"] == resolve_precision(
        "auto", torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )


@pytest.mark.slow
def test_final_list_is_in_domain(tiny_run: Path) -> None:
    items = pq.read_table(tiny_run / "pair" / "items.parquet")
    domain = dict(zip(items["item"].to_pylist(), items["domain"].to_pylist(), strict=True))
    for split in ("valid", "test"):
        wanted = pq.read_table(tiny_run / "pair" / f"{split}.parquet")
        asked = dict(zip(wanted["sample"].to_pylist(), wanted["domain"].to_pylist(), strict=True))
        lists = pq.read_table(tiny_run / "lists" / f"kinrec_{split}.parquet")
        drawn = pq.read_table(tiny_run / "lists" / f"graph_{split}.parquet")["sample"].to_pylist()
        assert 70 < len(drawn) <= 76 < len(asked), "graph.held_out_lists"
        assert sorted(lists["sample"].to_pylist()) == sorted(drawn)
        for sample, ranked in zip(lists["sample"].to_pylist(), lists["items"].to_pylist(), strict=True):
            assert {domain[item] for item in ranked} == {asked[sample]}
            assert len(set(ranked)) == len(ranked)


@pytest.mark.slow
def test_other_configuration_redoes_only_what_depends_on_it(tiny_run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(tiny_run, tmp_path / "run")
    ended = kinrec("run", str(TINY), f"--run_dir={copied}", "--evaluation.refine_top=3")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stderr.count("still holds, skipped") == len(STAGES) - 1
    assert "evaluate: runs again, evaluation.refine_top was 5, now 3" in ended.stderr


@pytest.mark.slow
def test_compare_puts_runs_side_by_side(tiny_run: Path) -> None:
    ended = kinrec("compare", str(tiny_run), str(tiny_run))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "hr@10" in ended.stdout
