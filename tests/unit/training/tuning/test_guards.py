"""What ends a fine-tune in one line, and what it steps over."""

import math

import pytest

from launch.config import find_recipe, load_recipe
from launch.errors import InputError
from training.checks import check_engine
from training.tuning.guards import MOST_SKIPPED, SETTLED, SpikeGuard, check_counts, check_finite_step


def test_fewer_samples_than_ranks_are_refused() -> None:
    with pytest.raises(InputError, match=r"prompts/train holds 3 sample\(s\) for 4 ranks; start at most 3"):
        check_counts(samples=3, ranks=4, global_batch=8)


def test_a_global_batch_below_the_ranks_is_refused() -> None:
    with pytest.raises(InputError, match=r"llm\.global_batch is 2, fewer than the 4 ranks .*raise it to 4"):
        check_counts(samples=30, ranks=4, global_batch=2)
    check_counts(samples=4, ranks=4, global_batch=4)
    with pytest.raises(
        InputError, match=r"llm\.global_batch is 4, 2 a row \(llm\.twins\), fewer than the 4 ranks .* to 8"
    ):
        check_counts(samples=30, ranks=4, global_batch=4, together=2)
    check_counts(samples=30, ranks=4, global_batch=8, together=2)


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_step_that_made_no_numbers_is_refused(norm: float) -> None:
    with pytest.raises(InputError, match=r"at step 7: nothing of this step was saved; lower llm\.lr"):
        check_finite_step(norm, step=7)
    check_finite_step(1e30, step=7)


def settled(factor: float | None) -> SpikeGuard:
    guard = SpikeGuard(factor)
    assert not any(guard.is_spike(2.0) for _ in range(SETTLED))
    return guard


def test_a_spike_is_told_from_the_usual_and_leaves_it_alone() -> None:
    guard = settled(1.5)
    assert guard.usual == pytest.approx(2.0)
    assert guard.is_spike(3.1)
    assert guard.usual == pytest.approx(2.0)
    assert not guard.is_spike(2.9)
    assert guard.usual == pytest.approx(0.9 * 2.0 + 0.1 * 2.9)


def test_without_a_factor_nothing_is_a_spike() -> None:
    assert not settled(None).is_spike(1e9)


def test_the_first_steps_are_not_judged() -> None:
    guard = SpikeGuard(1.5)
    assert not any(guard.is_spike(loss) for loss in (1.0, 10.0, 100.0))


def test_a_loss_that_stays_high_is_no_spike() -> None:
    guard = settled(1.5)
    assert all(guard.is_spike(9.0) for _ in range(MOST_SKIPPED))
    with pytest.raises(InputError, match=r"over llm\.skip_spikes=1\.5 times the usual 2 in 11 steps in a row"):
        guard.is_spike(9.0)


def test_what_it_has_seen_goes_on() -> None:
    first = settled(1.5)
    assert SpikeGuard(1.5, first.usual, first.steps, first.skipped).is_spike(3.1)


def test_idle_ranks_are_refused_before_any_stage_where_their_number_is_told() -> None:
    recipe = load_recipe(find_recipe("demo"), ["--launch.processes=3", "--llm.global_batch=2"])
    with pytest.raises(InputError, match=r"llm\.global_batch is 2, fewer than the 3 ranks"):
        check_engine(recipe)
    twins = ["--launch.processes=3", "--llm.global_batch=4", "--llm.twins=true", "--prompts.order=own_first"]
    with pytest.raises(InputError, match=r"is 4, 2 a row \(llm\.twins\), fewer than the 3 ranks"):
        check_engine(load_recipe(find_recipe("demo"), twins))
    check_engine(load_recipe(find_recipe("demo"), [*twins, "--llm.global_batch=6"]))


def test_twins_need_prompts_that_begin_alike() -> None:
    with pytest.raises(InputError, match=r"llm\.twins=true needs prompts\.order=own_first, got kindred_first"):
        check_engine(load_recipe(find_recipe("demo"), ["--llm.twins=true"]))
