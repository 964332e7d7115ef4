"""Every combination of a sweep is a run with a name and words of its own."""

import pytest

from launch.config import known_fields
from launch.errors import InputError
from launch.slurm.sweeps import variants

LR, BASE = "graph.schedule.lr=1e-3,3e-3", "prompts.base=/m/a,/m/b"


def test_sweeps_and_seeds_multiply() -> None:
    made = variants([LR], "1,2", known_fields())
    assert [variant.name for variant in made] == [
        "lr-1e-3_seed-1", "lr-1e-3_seed-2", "lr-3e-3_seed-1", "lr-3e-3_seed-2",
    ]  # fmt: skip
    assert made[3].overrides == ("--graph.schedule.lr=3e-3", "--seed=2")


def test_names_stay_inside_the_folder() -> None:
    assert [variant.name for variant in variants([BASE], None, known_fields())] == ["base-m-a", "base-m-b"]
    assert variants(["prompts.base=../x"], None, known_fields())[0].name == "base-x"


def test_commas_in_brackets_part_nothing() -> None:
    made = variants(["pair.domains=[a,b],[c,d]"], None, known_fields())
    assert [variant.overrides[0] for variant in made] == ["--pair.domains=[a,b]", "--pair.domains=[c,d]"]


@pytest.mark.parametrize(
    ("sweeps", "seeds", "words"),
    [
        (["llm.lr"], None, "not of the form"),
        (["llm.lp=1"], None, "no key"),
        (["slurm.time=1,2"], None, "no key of a stage"),
        (["llm.log_every=1,2"], None, "decides no result"),
        (["llm.lr=1,,2"], None, "empty value"),
        (["llm.lr=1,1"], None, "of one name"),
        (["llm.lr=1", "llm.lr=2"], None, "one key twice"),
        (["seed=1,2"], "3", "one key twice"),
        ([], ",".join(map(str, range(1001))), "at most 1000"),
    ],
)
def test_what_makes_no_sweep_is_refused(sweeps: list[str], seeds: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        variants(sweeps, seeds, known_fields())
