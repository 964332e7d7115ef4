"""Every field of every section is marked; a change of means keeps what an interrupted start has done."""

import importlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from launch.config import OF_NO_STAGE, Recipe, load_recipe
from launch.options.fields import Decides, Means, deciding, walk
from launch.stages import STAGES, Stage
from launch.state.manifests import make_intent
from launch.state.starts import begin

SAMPLED = "--pair.synthetic.generator=sampled"
MEANS = {
    "pair.memory_gib": "1",
    "pair.llm_attributes.key_env": "KEY",
    "pair.llm_attributes.requests_per_minute": "5",
    "pair.llm_attributes.concurrency": "3",
    "pair.llm_attributes.retries": "1",
    "pair.llm_attributes.timeout": "9",
    "pair.llm_attributes.batch_size": "2",
    "pair.llm_attributes.device": "cpu",
    "pair.synthetic.compression": "none",
    "pair.synthetic.workers": "3",
    "graph.schedule.checkpoint_every": "7",
    "graph.schedule.checkpoint_minutes": "0.5",
    "graph.preset": "best",
    "graph.encode_batch": "9",
    "graph.memory_gib": "1",
    "retrieval.index.backend": "torch",
    "retrieval.index.storage": "float16",
    "retrieval.index.mapped": "true",
    "retrieval.block": "17",
    "prompts.num_workers": "2",
    "llm.per_device_batch": "3",
    "llm.gradient_checkpointing": "true",
    "llm.attention": "sdpa",
    "llm.compile": "true",
    "llm.liger": "true",
    "llm.checkpoint_every": "5",
    "llm.checkpoint_minutes": "null",
    "llm.log_every": "3",
    "generation.batch_tokens": "512",
    "generation.part_batches": "2",
    "generation.tensor_parallel": "true",
}
"""Every field of a section that does not decide, and a value that is not its default."""
LAUNCH = {"nodes", "processes", "threads", "accelerate", "master", "interface", "start_timeout", "step_timeout"}
LAUNCH |= {"check_memory"}
"""How stages are started: none of it decides."""


def section(stage: Stage) -> type:
    module, _, name = stage.config.partition(":")
    config = getattr(importlib.import_module(module), name)
    assert isinstance(config, type)
    return config


SECTIONS = OF_NO_STAGE | {stage.section: section(stage) for stage in STAGES}


@pytest.mark.parametrize("name", SECTIONS)
def test_every_field_says_whether_it_decides(name: str) -> None:
    assert [marked.name for marked in walk(SECTIONS[name], f"{name}.") if marked.mark is None] == []


def test_what_does_not_decide_is_this_and_no_more() -> None:
    means = {
        marked.name
        for name, config in SECTIONS.items()
        for marked in walk(config, f"{name}.")
        if marked.mark is not None and not marked.mark.decides and name != "slurm"
    }
    assert means == {*MEANS, *(f"launch.{name}" for name in LAUNCH)}


def test_nothing_that_is_asked_of_slurm_decides() -> None:
    assert [
        marked.name for marked in walk(SECTIONS["slurm"], "slurm.") if marked.mark is None or marked.mark.decides
    ] == []


def sampled(tmp_path: Path, *overrides: str) -> Recipe:
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\n", encoding="utf-8")
    return load_recipe(path, [SAMPLED, *overrides])


def resumes(tmp_path: Path, section: str, *overrides: str) -> bool:
    """Whether a start with `overrides` goes on where one without them was interrupted; with its resume state there."""
    stage = next(stage for stage in STAGES if stage.section == section)

    def begin_with(*words: str) -> bool:
        recipe = sampled(tmp_path, *words)
        intent = make_intent(tmp_path / "run", stage, config=recipe.sections[section], seed=recipe.seed)
        return begin(tmp_path / "run", stage, intent)

    assert not begin_with()
    states = [tmp_path / "run" / folder / "state" for folder in stage.resumes]
    for state in states:
        state.parent.mkdir(parents=True)
        state.touch()
    resumed = begin_with(*overrides)
    assert {state.is_file() for state in states} <= {resumed}
    return resumed


@pytest.mark.parametrize("name", MEANS)
def test_a_change_of_means_keeps_resume_state(tmp_path: Path, name: str) -> None:
    assert resumes(tmp_path, name.partition(".")[0], f"--{name}={MEANS[name]}")


@pytest.mark.parametrize(
    "changed", ["llm.lr=1e-3", "llm.eval_every=7", "generation.num_beams=3", "graph.schedule.epochs=2"]
)
def test_a_change_of_what_decides_does_not(tmp_path: Path, changed: str) -> None:
    assert not resumes(tmp_path, changed.partition(".")[0], f"--{changed}")


@dataclass(frozen=True)
class Inner:
    width: Decides[int] = 1
    threads: Means[int | None] = None


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    names: Decides[list[str]] = field(default_factory=list)
    forgotten: int = 3
    block: Means[int] = 4


def test_deciding_values_are_plain_and_nested_and_hold_what_was_forgotten() -> None:
    assert deciding(Outer(Inner(2, 8), ["a"])) == {"inner": {"width": 2}, "names": ["a"], "forgotten": 3}


def test_a_forgotten_mark_is_found_by_its_dotted_name() -> None:
    assert [(marked.name, marked.mark is None) for marked in walk(Outer, "outer.")] == [
        ("outer.inner.width", False),
        ("outer.inner.threads", False),
        ("outer.names", False),
        ("outer.forgotten", True),
        ("outer.block", False),
    ]
