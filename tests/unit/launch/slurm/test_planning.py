"""Which jobs are needed, for every mixture of what holds, what is queued and what has failed."""

import pytest

from launch.errors import InputError
from launch.slurm.live_jobs import LiveJob
from launch.slurm.planning import COMPARE, JobPlan, SbatchCall, plan_jobs

STAGES = ("prepare", "pretrain", "evaluate")
NOTHING = dict.fromkeys(STAGES, False)
ALL = dict.fromkeys(STAGES, True)


def job(number: str, task: int | None = None, state: str = "PENDING") -> LiveJob:
    return LiveJob(number, task, state, "Dependency")


def calls(plan: JobPlan) -> list[tuple[str, tuple[int, ...], list[str]]]:
    def name(before: SbatchCall | str) -> str:
        return before if isinstance(before, str) else f"new {before.job}{list(before.tasks)}"

    return [(call.job, call.tasks, [name(before) for before in call.after]) for call in plan.calls]


def test_a_new_run_is_a_chain() -> None:
    assert calls(plan_jobs(STAGES, holds=[NOTHING], live={})) == [
        ("prepare", (0,), []),
        ("pretrain", (0,), ["new prepare[0]"]),
        ("evaluate", (0,), ["new pretrain[0]"]),
    ]


def test_what_holds_is_skipped() -> None:
    plan = plan_jobs(STAGES, holds=[{**NOTHING, "prepare": True}], live={})
    assert calls(plan) == [("pretrain", (0,), []), ("evaluate", (0,), ["new pretrain[0]"])]
    assert calls(plan_jobs(STAGES, holds=[ALL], live={})) == []


def test_what_is_queued_is_kept_and_waited_for() -> None:
    plan = plan_jobs(STAGES, holds=[{**NOTHING, "prepare": True}], live={"pretrain": [job("7", state="RUNNING")]})
    assert calls(plan) == [("evaluate", (0,), ["7"])]
    assert [stage for stage, _ in plan.kept] == ["pretrain"]


def test_a_job_that_waits_for_a_failed_one_is_asked_for_anew() -> None:
    plan = plan_jobs(STAGES, holds=[{**NOTHING, "prepare": True}], live={"evaluate": [job("9")]})
    assert calls(plan) == [("pretrain", (0,), []), ("evaluate", (0,), ["new pretrain[0]"])]
    assert [live.id for _, live in plan.doomed] == ["9"]


def test_a_running_job_that_nothing_was_made_for_is_named() -> None:
    with pytest.raises(InputError, match="scancel 9"):
        plan_jobs(STAGES, holds=[NOTHING], live={"evaluate": [job("9", state="RUNNING")]})


def test_a_sweep_goes_on_task_by_task() -> None:
    holds = [ALL, {**NOTHING, "prepare": True}, NOTHING]
    live = {"pretrain": [job("5", 1, "RUNNING")], "evaluate": [job("6", 1)]}
    plan = plan_jobs(STAGES, holds=holds, live=live, table=False)
    assert calls(plan) == [
        ("prepare", (2,), []),
        ("pretrain", (2,), ["new prepare[2]"]),
        ("evaluate", (2,), ["new pretrain[2]"]),
        (COMPARE, (), ["6", "new evaluate[2]"]),
    ]
    assert [live.id for _, live in plan.kept] == ["5_1", "6_1"]


def test_tasks_that_wait_for_different_jobs_are_different_arrays() -> None:
    holds = [{**NOTHING, "prepare": True}, NOTHING]
    assert calls(plan_jobs(("prepare", "pretrain"), holds=holds, live={})) == [
        ("prepare", (1,), []),
        ("pretrain", (0,), []),
        ("pretrain", (1,), ["new prepare[1]"]),
    ]


def test_a_table_is_made_once() -> None:
    assert calls(plan_jobs(STAGES, holds=[ALL, ALL], live={}, table=True)) == []
    assert calls(plan_jobs(STAGES, holds=[ALL, ALL], live={}, table=False)) == [(COMPARE, (), [])]
    waiting = {COMPARE: [job("8")], "evaluate": [job("6", 0, "RUNNING"), job("6", 1)]}
    assert calls(plan_jobs(STAGES, holds=[ALL, ALL], live=waiting, table=False)) == []


def test_a_table_that_waits_is_asked_for_anew_when_more_runs_are() -> None:
    plan = plan_jobs(STAGES, holds=[ALL, NOTHING], live={COMPARE: [job("8")]}, table=False)
    assert calls(plan)[-1] == (COMPARE, (), ["new evaluate[1]"])
    assert [live.id for _, live in plan.doomed] == ["8"]
