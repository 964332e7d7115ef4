"""What generate needs follows from how the model answers."""

from pathlib import Path

import pytest

from launch.config import find_recipe, load_recipe
from launch.plan.command import estimate_stages
from launch.plan.counts import guessed
from launch.plan.estimates import Estimate, Setting
from launch.plan.machines import machine_of
from training.plan.finetune import ANSWER_TOKENS


def generate_of(tmp_path: Path, *overrides: str) -> Estimate:
    recipe = load_recipe(find_recipe("demo"), list(overrides))
    counts = guessed(1000, 500, 12_000, "given")
    estimates = estimate_stages(Setting(recipe, tmp_path, counts, machine_of(recipe, None, None, 0, None)))
    return next(estimate for estimate in estimates if estimate.stage == "generate")


def needs(estimate: Estimate) -> dict[str, float]:
    return {part.name: part.size for part in estimate.memory}


def seconds(estimate: Estimate) -> float:
    assert estimate.seconds is not None
    return estimate.seconds


@pytest.mark.parametrize("by", [["--generation.by=rank"], ["--generation.by=auto", "--llm.task=both"]])
def test_ranking_reads_all_titles_of_a_list_and_keeps_nothing(tmp_path: Path, by: list[str]) -> None:
    by_rank = generate_of(tmp_path, *by)
    assert "keys and values" not in needs(by_rank)
    assert by_rank.how.endswith("tokens read, 2 FLOP a parameter")
    fewer = generate_of(tmp_path, *by, "--prompts.graph_candidates=10", "--prompts.vote_candidates=5")
    tokens, less = 208 + 60 * ANSWER_TOKENS, 208 + 15 * ANSWER_TOKENS
    assert seconds(by_rank) / seconds(fewer) == pytest.approx(tokens / less)
    cut = generate_of(tmp_path, *by, "--prompts.max_candidate_tokens=2")
    assert seconds(cut) / seconds(fewer) == pytest.approx((208 + 120) / less)


def test_writing_keeps_the_keys_of_its_beams(tmp_path: Path) -> None:
    by_write = generate_of(tmp_path, "--generation.by=write")
    assert by_write.how.endswith("tokens read and written, 2 FLOP a parameter")
    more = generate_of(tmp_path, "--generation.by=write", "--generation.num_beams=10")
    assert needs(more)["keys and values"] > needs(by_write)["keys and values"]
    assert needs(more)["scores of beams"] == 2 * needs(by_write)["scores of beams"]
