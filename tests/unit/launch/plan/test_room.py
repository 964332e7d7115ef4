"""A stage that needs more memory than there is, is refused before it starts, in one line that names a cure."""

from pathlib import Path

import pytest

from launch.config import find_recipe, load_recipe
from launch.errors import InputError
from launch.pipeline import run_stages
from launch.plan import control_groups
from launch.plan.command import estimate_stages
from launch.plan.control_groups import most_memory
from launch.plan.counts import read_counts
from launch.plan.estimates import GIB, Setting, total
from launch.plan.machines import machine_of
from launch.plan.room import LIBRARIES, RELIEF, check_room, host_need
from launch.stages import STAGES, stage_named

LARGE = [
    "--pair.synthetic.generator=sampled", "--pair.synthetic.num_users=5000000",
    "--pair.synthetic.items_per_domain=1000000", "--launch.processes=2",
]  # fmt: skip


@pytest.fixture
def small_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       8388608 kB\nSwapTotal:   0 kB\nMemAvailable:  4194304 kB\n", encoding="ascii")
    monkeypatch.setattr(control_groups, "MEMINFO", told)
    monkeypatch.setattr(control_groups, "CGROUP", tmp_path / "no groups")


@pytest.mark.usefixtures("small_machine")
@pytest.mark.parametrize("name", ["pretrain", "retrieve", "evaluate"])
def test_a_large_pair_is_refused_with_what_helps(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(find_recipe("demo"), LARGE)
    with pytest.raises(InputError, match=rf"^{name} would need about [\d.]+ GiB of memory here") as refused:
        check_room(stage_named(name), recipe, tmp_path)
    line = str(refused.value)
    assert "there are 8.0" in line
    assert RELIEF[name] in line
    assert "launch.check_memory=false" in line
    assert "\n" not in line


@pytest.mark.usefixtures("small_machine")
def test_who_insists_may_start_it_and_small_pairs_fit(tmp_path: Path) -> None:
    insisting = load_recipe(find_recipe("demo"), [*LARGE, "--launch.check_memory=false"])
    demo = load_recipe(find_recipe("demo"), [])
    for stage in STAGES:
        check_room(stage, insisting, tmp_path)
        check_room(stage, demo, tmp_path)


@pytest.mark.usefixtures("small_machine")
def test_nothing_is_started_nor_written(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("demo"), [*LARGE, "--pair.memory_gib=16"])
    with pytest.raises(InputError, match=r"^prepare would need .* lower pair\.memory_gib"):
        run_stages(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "pair").exists()
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_a_control_group_counts_as_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = most_memory()
    groups = {2**30 + 5: tmp_path / "memory.max"}
    for limit, path in groups.items():
        path.write_text(str(limit), encoding="ascii")
    monkeypatch.setattr(control_groups, "_own_limits", lambda: [(path, path) for path in groups.values()])
    assert most_memory() == 2**30 + 5 < whole
    (tmp_path / "memory.max").write_text("max", encoding="ascii")
    assert most_memory() == whole


def test_the_need_of_a_node_counts_all_its_ranks(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("demo"), LARGE)
    counts = read_counts(recipe, tmp_path, users=None, items=None, interactions=None)
    setting = Setting(recipe, tmp_path, counts, machine_of(recipe, 1, 2, 0, None))
    estimate = next(one for one in estimate_stages(setting) if one.stage == "pretrain")
    need = host_need(estimate, setting, stage_named("pretrain"))
    assert need == total(estimate.host) + 2 * estimate.rank_memory + 2 * LIBRARIES
    on_gpus = Setting(recipe, tmp_path, counts, machine_of(recipe, 1, 2, 80, None))
    estimate = next(one for one in estimate_stages(on_gpus) if one.stage == "pretrain")
    assert host_need(estimate, on_gpus, stage_named("pretrain")) == total(estimate.host) + 2 * LIBRARIES
    assert need > 8 * GIB


def test_every_stage_with_an_estimate_has_a_cure() -> None:
    assert set(RELIEF) == {stage.name for stage in STAGES if stage.plan is not None}
