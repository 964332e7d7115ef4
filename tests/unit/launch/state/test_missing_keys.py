"""A key that came after a run counts there as its default: as what that run did without knowing of it."""

import json
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import launch.pipeline as pipeline
from graph.config import GraphConfig
from graph.presets import PRESETS
from launch.config import Recipe, config_class, load_recipe
from launch.options.fields import Decides, Means, deciding
from launch.stage import Job, open_stage
from launch.stages import STAGES, Stage, stage_named
from launch.state.manifests import Intent, Record, make_intent, manifest_path, read_manifest, started_path
from launch.state.missing_keys import defaults_of
from launch.state.starts import begin, revive
from launch.state.states import PlainRecipe, State, recipe_of, state_of
from tests.unit.launch.state.stage_runs import PREPARE, write

EARLIER = {"prompts": ["order"], "llm": ["twins", "judge", "lora.base"], "graph": ["train_lists", "schedule.epochs"]}
"""Keys that a run's stages may not have known yet."""


@dataclass(frozen=True, kw_only=True)
class Depth:
    """A section inside."""

    layers: Decides[int] = 2
    threads: Means[int] = 1


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A section of which some keys are new."""

    width: Decides[int] = 1
    order: Decides[str] = "kindred_first"
    limit: Decides[int | None] = 5
    unlimited: Decides[int | None] = None
    depth: Depth = field(default_factory=lambda: Depth(layers=3))
    chosen: Decides[Depth | None] = None
    workers: Means[int] = 1


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One whose new key must be given."""

    width: Decides[int] = 1
    name: Decides[str]


GROWN = replace(PREPARE, config=f"{__name__}:Grown")


def start(run_dir: Path, config: object, *, finish: bool = True) -> None:
    """Finish the stage, or leave it half done."""
    stage_job = Job(stage=GROWN, config=config, seed=1, run_dir=run_dir, recipe_name="r")
    if finish:
        with open_stage(stage_job):
            write(run_dir, "pair/items.parquet", "items")
    else:
        write(run_dir, "pair/items.parquet", "items")
        begin(run_dir, GROWN, wanted(run_dir, config))


def wanted(run_dir: Path, config: object) -> Intent:
    return make_intent(run_dir, GROWN, config=config, seed=1)


def forget(path: Path, *names: str) -> None:
    """Make a record one of before these keys were there."""
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    for name in names:
        *sections, last = name.split(".")
        inside = record["config"]
        for section in sections:
            inside = inside[section]
        del inside[last]
    path.write_text(json.dumps(record), encoding="utf-8")


def after(run_dir: Path, config: object, *forgotten: str, told: object = None) -> State:
    """The stage's state for `config`, after a run by `told`, by default the same, that did not know some keys."""
    start(run_dir, config if told is None else told)
    forget(manifest_path(run_dir, GROWN), *forgotten)
    return state_of(run_dir, GROWN, PlainOrNot(1, {"pair": config}))


@dataclass(frozen=True)
class PlainOrNot:
    """A recipe whose sections are of any type."""

    seed: int
    sections: dict[str, Any]  # Any: a section's dataclass


@pytest.mark.parametrize("name", ["order", "limit", "unlimited", "depth", "depth.layers", "chosen"])
def test_what_a_run_did_not_know_of_and_is_as_by_default_holds(tmp_path: Path, name: str) -> None:
    assert after(tmp_path, Grown(), name).kind == "finished"


@pytest.mark.parametrize(
    ("config", "name", "why"),
    [
        (Grown(order="own_first"), "order", "order was not known then (counts as 'kindred_first'), now 'own_first'"),
        (Grown(limit=None), "limit", "limit was not known then (counts as 5), now None"),
        (Grown(unlimited=7), "unlimited", "unlimited was not known then (counts as None), now 7"),
        (Grown(depth=Depth()), "depth", "depth.layers was not known then (counts as 3), now 2"),
        (Grown(depth=Depth()), "depth.layers", "depth.layers was not known then (counts as 3), now 2"),
        (Asking(name="a"), "name", "name was not known then, now 'a'"),
    ],
)
def test_another_value_than_the_default_is_a_change(tmp_path: Path, config: object, name: str, why: str) -> None:
    state = after(tmp_path, config, name)
    assert (state.kind, state.why) == ("stale", f"pair.{why}")


def test_a_new_key_hides_no_other_change(tmp_path: Path) -> None:
    assert after(tmp_path, Grown(width=2), "order", told=Grown()).why == "pair.width was 1, now 2"


def test_a_key_inside_of_what_may_be_one_section_or_none_is_told_by_no_default(tmp_path: Path) -> None:
    state = after(tmp_path, Grown(chosen=Depth()), "chosen.layers")
    assert state.why == "pair.chosen.layers was not known then, now 2"


def test_a_key_that_is_no_more_is_a_change(tmp_path: Path) -> None:
    start(tmp_path, Grown())
    path = manifest_path(tmp_path, GROWN)
    record = json.loads(path.read_text(encoding="utf-8"))
    record["config"]["gone"] = 3
    path.write_text(json.dumps(record), encoding="utf-8")
    state = state_of(tmp_path, GROWN, PlainOrNot(1, {"pair": Grown()}))
    assert state.why == "pair.gone was 3, now None"


@pytest.mark.parametrize(("config", "goes_on"), [(Grown(), True), (Grown(order="own_first"), False)])
def test_a_half_done_stage_goes_on_by_the_same_rule(tmp_path: Path, config: Grown, goes_on: bool) -> None:
    start(tmp_path, Grown(), finish=False)
    forget(started_path(tmp_path, GROWN), "order", "depth")
    assert begin(tmp_path, GROWN, wanted(tmp_path, config)) is goes_on
    told = json.loads(started_path(tmp_path, GROWN).read_text(encoding="utf-8"))["config"]
    assert told == deciding(config), "from now on it is known"


@pytest.mark.parametrize(("config", "comes"), [(Grown(), True), (Grown(order="own_first"), False)])
def test_a_result_that_waits_comes_back_by_the_same_rule(tmp_path: Path, config: Grown, comes: bool) -> None:
    start(tmp_path, Grown())
    forget(manifest_path(tmp_path, GROWN), "order")
    begin(tmp_path, GROWN, wanted(tmp_path, Grown(width=2)))
    assert revive(tmp_path, GROWN, wanted(tmp_path, config)) is comes
    assert (read_manifest(tmp_path, GROWN) is not None) is comes


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        ({"width": 1, "workers": 9}, ""),
        ({"width": 1, "order": "kindred_first"}, ""),
        ({"width": 1, "order": "own_first"}, "order was not known then (counts as 'kindred_first'), now 'own_first'"),
        ({"width": 1, "depth": {"layers": 1}}, "depth.layers was not known then (counts as 3), now 1"),
    ],
)
def test_who_reads_the_runs_own_recipe_says_the_same(tmp_path: Path, plain: dict[str, object], why: str) -> None:
    """As status does, without loading the recipe; that of an earlier run lacks keys as well."""
    start(tmp_path, Grown())
    forget(manifest_path(tmp_path, GROWN), "order", "depth")
    assert state_of(tmp_path, GROWN, PlainRecipe(1, {"pair": plain})).why == (f"pair.{why}" if why else "")


def test_a_runs_own_recipe_may_be_older_than_its_result(tmp_path: Path) -> None:
    start(tmp_path, Grown(order="own_first"))
    state = state_of(tmp_path, GROWN, PlainRecipe(1, {"pair": {"width": 1}}))
    assert state.why == "pair.order was 'own_first', now 'kindred_first'"


def recipe(folder: Path, *overrides: str) -> Recipe:
    """One that gives no key but by `overrides`."""
    path = folder / "mine.yaml"
    path.write_text("seed: 1\n", encoding="utf-8")
    return load_recipe(path, overrides)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return recipe(tmp_path_factory.mktemp("recipe"))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_defaults_are_what_a_recipe_without_keys_gives(bare: Recipe, stage: Stage) -> None:
    config = bare.sections[stage.section]
    assert defaults_of(stage, config) == deciding(config)
    assert defaults_of(stage, bare.resolved()[stage.section]) == deciding(config)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_defaults_are_those_of_the_recipes_preset(preset: GraphConfig) -> None:
    pretrain = stage_named("pretrain")
    changed = replace(preset, model=replace(preset.model, dim=7), schedule=replace(preset.schedule, epochs=9))
    assert defaults_of(pretrain, changed) == deciding(preset) != deciding(changed)
    assert defaults_of(pretrain, asdict(changed)) == deciding(preset)
    assert defaults_of(pretrain, {**asdict(changed), "preset": ["best"]}) == {}, "nobody can tell"


@pytest.fixture
def made_earlier(tmp_path: Path, bare: Recipe) -> Path:
    """A run of all stages by `bare`, which did not know the keys of EARLIER."""
    run_dir, sections = tmp_path / "run", bare.sections
    for stage in STAGES:
        with open_stage(Job(stage, sections[stage.section], 1, run_dir, bare.name, sections=sections)):
            write(run_dir, f"{stage.folders[0]}/made", stage.name)
    pipeline.KeptRecipe(run_dir, bare).write()
    for stage in STAGES:
        forget(manifest_path(run_dir, stage), *EARLIER.get(stage.section, ()))
    return run_dir


def test_a_run_of_an_earlier_kinrec_is_skipped_whole(
    made_earlier: Path, bare: Recipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(pipeline, "run_stage", lambda *_: pytest.fail("a stage was started"))
    pipeline.run_stages(bare, made_earlier)
    assert caplog.text.count("still holds, skipped") == len(STAGES)


def test_what_its_recipe_gives_otherwise_runs_again_and_says_why(made_earlier: Path, tmp_path: Path) -> None:
    given = recipe(tmp_path, "--prompts.order=own_first", "--llm.twins=true", "--graph.schedule.epochs=10")
    states = {name: state_of(made_earlier, stage_named(name), given) for name in ("pretrain", "tokenize", "finetune")}
    assert states["pretrain"].why == "graph.schedule.epochs was not known then (counts as 4), now 10"
    assert states["tokenize"].why == "prompts.order was not known then (counts as 'kindred_first'), now 'own_first'"
    assert states["finetune"].why == "llm.twins was not known then (counts as False), now True"
    pipeline.KeptRecipe(made_earlier, given).write()
    told = recipe_of(made_earlier)
    assert told is not None
    assert {name: state_of(made_earlier, stage_named(name), told) for name in states} == states


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_no_key_holds_a_mapping_that_would_pass_for_a_section(stage: Stage) -> None:
    def mappings(config_type: type) -> list[str]:
        hints = get_type_hints(config_type)
        own = [name for name, hint in hints.items() if "dict[" in str(hint).lower() or "mapping[" in str(hint).lower()]
        inside = (hint for hint in hints.values() if isinstance(hint, type) and is_dataclass(hint))
        return own + [name for hint in inside for name in mappings(hint)]

    assert mappings(config_class(stage.config)) == []
