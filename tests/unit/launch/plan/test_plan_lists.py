"""What a fine-tune's rank holds where it reads lists of candidates, or two prompts in a row."""

from pathlib import Path

import pytest

from launch.config import find_recipe, load_recipe
from launch.plan.command import estimate_stages
from launch.plan.counts import guessed
from launch.plan.estimates import Estimate, Setting
from launch.plan.machines import machine_of
from training.plan.finetune import ANSWER_TOKENS, EMPTY_TOKENS

PROMPT = 208
"""Of the demo."""


def finetune_of(tmp_path: Path, *overrides: str) -> Estimate:
    recipe = load_recipe(find_recipe("demo"), list(overrides))
    counts = guessed(1000, 500, 12_000, "given")
    estimates = estimate_stages(Setting(recipe, tmp_path, counts, machine_of(recipe, None, None, 0, None)))
    return next(estimate for estimate in estimates if estimate.stage == "finetune")


def at_once(tmp_path: Path, *overrides: str) -> str:
    """Rows and tokens of a rank, as the plan says them."""
    return finetune_of(tmp_path, *overrides).notes[0].partition("; ")[2].partition(" tokens")[0]


@pytest.mark.parametrize(
    ("overrides", "tokens"),
    [
        ([], PROMPT),
        (["--llm.task=rank", "--llm.negatives=7"], PROMPT + 7 * ANSWER_TOKENS),
        (["--llm.task=rank", "--llm.negatives=7", "--prompts.max_candidate_tokens=12"], PROMPT + 7 * 12),
        (
            ["--llm.task=rank", "--llm.negatives=7", "--llm.prior_weight=1"],
            PROMPT + 15 * ANSWER_TOKENS + EMPTY_TOKENS,
        ),
        (["--llm.task=rank", "--llm.negatives=7", "--llm.prior_weight=1", "--llm.score=verdict"], PROMPT + 168),
    ],
)
def test_lists_stand_behind_the_prompt_and_behind_one_without_history(
    tmp_path: Path, overrides: list[str], tokens: int
) -> None:
    assert at_once(tmp_path, *overrides) == f"16 x {tokens}"


def test_twins_are_half_as_many_rows_of_twice_the_length_at_most(tmp_path: Path) -> None:
    twins = ["--llm.twins=true", "--prompts.order=own_first"]
    assert at_once(tmp_path, *twins) == f"8 x {2 * PROMPT}"
    assert at_once(tmp_path, *twins, "--llm.global_batch=2") == f"1 x {2 * PROMPT}"
    assert at_once(tmp_path, *twins, "--llm.global_batch=6") == f"2 x {2 * PROMPT}", "three rows for two ranks"
    idle = finetune_of(tmp_path, *twins, "--llm.global_batch=2").advice
    assert any(line.startswith("1 of 2 ranks would idle") for line in idle)


def test_lists_that_judge_are_planned_for_where_they_are_what_fills_a_rank(tmp_path: Path) -> None:
    long = ["--llm.judge=auc", "--llm.negatives=63", "--llm.gradient_checkpointing=true"]
    assert at_once(tmp_path, "--llm.judge=auc", "--llm.negatives=3") == f"16 x {PROMPT}"
    assert at_once(tmp_path, *long) == f"16 x {PROMPT + 63 * ANSWER_TOKENS}"
