"""Learning to rank, and ranking: one rank and two give the same; who resumes ends where nobody stopped."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from launch.artifacts import read_json, sha256_file
from launch.distributed import World
from pairs.row_parts import finished_parts
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune, run_until_killed
from tests.distributed.test_generate_ranks import FILES, generate_on
from tests.ranks import run_ranks
from tests.tiny_generation import CONSTRAINED, generate_alone, parts_alone, write_answerable_run
from training.config import ListScoreName, LlmConfig, Task
from training.ranking.taught import Taught, read_taught

pytestmark = pytest.mark.slow
BY_RANK = replace(CONSTRAINED, by="rank")


def learning(task: Task, score: ListScoreName = "title", prior_weight: float | None = None) -> LlmConfig:
    lists = replace(TINY, task=task, score=score, prior_weight=prior_weight, negatives=4, learn="prompt")
    return replace(lists, added_targets=1.0)  # few of the tiny pair hold their target


@pytest.mark.parametrize(
    ("task", "score", "prior_weight"), [("rank", "verdict", None), ("rank", "title", None), ("both", "title", 0.5)]
)
def test_one_rank_and_two_learn_the_same(
    tmp_path: Path, task: Task, score: ListScoreName, prior_weight: float | None
) -> None:
    prepare_run(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    config = learning(task, score, prior_weight)
    one, two = (run_ranks(run_finetune, ranks, tmp_path / name, config)[0] for ranks, name in ((1, "one"), (2, "two")))
    assert len(one["finetune/loss"]) == 6
    assert two["finetune/loss"] == pytest.approx(one["finetune/loss"], rel=1e-4)
    assert two["finetune/valid_loss"] == pytest.approx(one["finetune/valid_loss"], rel=1e-4)
    assert two["finetune/valid_auc"] == pytest.approx(one["finetune/valid_auc"], abs=1e-6)
    assert all(0 <= share <= 1 for share in one["finetune/valid_auc"] + one["finetune/valid_first"])
    assert one["finetune/loss"][-1] != one["finetune/loss"][0]
    weight = {"verdict": None, "title": prior_weight or 0.0}[score]
    assert read_taught(tmp_path / "two") == Taught(task, score, weight)


def test_patience_ends_the_fine_tune(tmp_path: Path) -> None:
    prepare_run(tmp_path)
    config = replace(learning("rank"), lr=1e-12, max_steps=40, eval_every=2, patience=3, keep="last")
    told = run_ranks(run_finetune, 1, tmp_path, config)[0]
    assert len(told["finetune/valid_loss"]) <= 12
    assert len(told["finetune/loss"]) < 40
    assert (tmp_path / "llm/model").is_dir()


def test_a_killed_start_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    prepare_run(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    run_ranks(run_finetune, 2, tmp_path / "whole", learning("both", prior_weight=1.0))
    run_ranks(run_until_killed_at_five, 2, tmp_path / "killed")
    run_ranks(run_finetune, 2, tmp_path / "killed", learning("both", prior_weight=1.0))
    killed, whole = (tmp_path / run / "llm/model/model.safetensors" for run in ("killed", "whole"))
    assert sha256_file(killed) == sha256_file(whole)


def run_until_killed_at_five(world: World, run_dir: Path) -> None:
    run_until_killed(world, run_dir, learning("both", prior_weight=1.0), step=5)


def test_two_ranks_rank_as_one_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    write_answerable_run(tmp_path / "one")
    for name in ("two", "killed"):
        shutil.copytree(tmp_path / "one", tmp_path / name)
    generate_alone(BY_RANK, tmp_path / "one")
    run_ranks(generate_on, 2, tmp_path / "two", BY_RANK)
    for part in parts_alone(BY_RANK, tmp_path / "killed", "valid")[::2]:
        part.unlink()
    assert finished_parts(tmp_path / "killed/generated/parts/valid"), "some parts are left"
    generate_alone(BY_RANK, tmp_path / "killed")
    for name in FILES:
        assert sha256_file(tmp_path / "two" / name) == sha256_file(tmp_path / "one" / name)
        assert sha256_file(tmp_path / "killed" / name) == sha256_file(tmp_path / "one" / name)
    table = pq.read_table(tmp_path / "one" / FILES[1])
    assert all(all(flags) for flags in table["in_domain"].to_pylist())
    assert read_json(tmp_path / "one/generated/generation.json")["by"] == "rank"


def test_a_model_that_learns_to_write_may_be_judged_by_how_it_ranks(tmp_path: Path) -> None:
    prepare_run(tmp_path / "one")
    for name in ("two", "by_loss"):
        shutil.copytree(tmp_path / "one", tmp_path / name)
    by_loss = replace(TINY, negatives=4, learn="prompt", max_steps=24, epochs=4, eval_every=2, patience=2, keep="last")
    by_auc = replace(by_loss, judge="auc")
    one, two = (run_ranks(run_finetune, ranks, tmp_path / name, by_auc)[0] for ranks, name in ((1, "one"), (2, "two")))
    other = run_ranks(run_finetune, 1, tmp_path / "by_loss", by_loss)[0]
    assert two["finetune/valid_auc"] == pytest.approx(one["finetune/valid_auc"], abs=1e-6)
    assert two["finetune/valid_loss"] == pytest.approx(one["finetune/valid_loss"], rel=1e-4)
    assert "finetune/valid_auc" not in other
    steps = len(one["finetune/valid_loss"])
    assert one["finetune/valid_loss"] == other["finetune/valid_loss"][:steps]
    best = max(one["finetune/valid_auc"][1:])
    assert one["finetune/valid_auc"][1:].index(best) == steps - 2 - 2, "it ends two validations after the best"
    assert len(other["finetune/valid_loss"]) != steps, "the loss says otherwise"
