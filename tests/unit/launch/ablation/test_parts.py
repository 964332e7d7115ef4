"""Every row of the table of parts is made of keys that there are, and changes what a run is told."""

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest

from graph.config import GraphConfig
from graph.presets import PRESETS
from launch.ablation.parts import (
    ATTENTION,
    EVIDENCE,
    LATE,
    PARTS,
    AblatedPart,
    Value,
    parts_named,
    value_of,
    without,
    words_of,
)
from launch.config import OF_NO_STAGE, Recipe, find_recipe, known_fields, load_recipe
from launch.errors import InputError
from launch.options.fields import deciding, values

NAMES = [part.name for part in PARTS]
(LATE_INTERACTION,) = parts_named("late_interaction")
WITH_ATTENTION = words_of(LATE_INTERACTION.off)
OF_ATTENTION = ["item_graphs", "attribute_graph", "alignment", "infomax", "text"]


NEEDED: dict[tuple[str, Value] | None, Mapping[str, Value]] = {
    None: {},
    ATTENTION: LATE_INTERACTION.off,
    LATE: LATE_INTERACTION.on,
    EVIDENCE: {"graph.model.evidence": True, "graph.loss.fused_weight": 1.0},
}


@functools.cache
def recipe_of(*overrides: str) -> Recipe:
    return load_recipe(find_recipe("demo"), overrides)


def told(recipe: Recipe) -> dict[str, object]:
    return {name: deciding(config) for name, config in recipe.sections.items()}


@pytest.mark.parametrize("part", PARTS, ids=NAMES)
def test_every_key_of_a_row_is_one_of_a_stage_and_decides(part: AblatedPart) -> None:
    known = known_fields()
    for key in (*part.off, *part.on, *([part.needs[0]] if part.needs else [])):
        assert key in known
        mark = known[key].mark
        assert key.partition(".")[0] not in OF_NO_STAGE
        assert mark is not None
        assert mark.decides
    assert next(iter(part.off)) == next(iter(part.on)), "the first key says whether it is on"


@pytest.mark.parametrize("preset", ["best", "paper"])
@pytest.mark.parametrize("part", PARTS, ids=NAMES)
def test_a_switch_changes_the_recipe_and_a_second_one_goes_back(part: AblatedPart, preset: str) -> None:
    chosen = [f"--graph.preset={preset}", *words_of(NEEDED[part.needs])]
    recipe = recipe_of(*chosen)
    assert part.why_not(recipe) is None
    other = recipe_of(*without(chosen, part.switched(recipe)), *words_of(part.switched(recipe)))
    assert part.is_on(other) is not part.is_on(recipe)
    changed = {name for name in told(recipe) if told(recipe)[name] != told(other)[name]}
    assert changed == {key.partition(".")[0] for key in part.off}
    assert part.switched(other) == (part.on if part.is_on(recipe) else part.off)


@pytest.mark.parametrize("name", ["alignment", "infomax", "item_graphs", "attribute_graph"])
def test_what_is_switched_on_has_the_values_of_the_paper(name: str) -> None:
    (part,) = parts_named(name)
    paper = dict(values(GraphConfig(preset="paper"), "graph."))
    assert {key: paper[key] for key in part.on} == part.on


def test_tables_that_do_not_start_from_words_are_those_of_the_paper() -> None:
    (part,) = parts_named("text")
    paper = dict(values(PRESETS["paper"], "graph."))
    assert {key: paper[key] for key in part.off} == part.off
    assert {key: LATE_INTERACTION.off[key] for key in part.on} == part.on


def test_late_interaction_that_is_switched_on_is_that_of_the_best() -> None:
    best = dict(values(PRESETS["best"], "graph."))
    assert {key: best[key] for key in LATE_INTERACTION.on} == LATE_INTERACTION.on


def test_evidence_that_is_switched_on_is_that_of_the_best() -> None:
    (part,) = parts_named("evidence")
    best = dict(values(PRESETS["best"], "graph."))
    assert {key: best[key] for key in part.on} == part.on


def test_the_parts_of_the_best_are_those() -> None:
    recipe = recipe_of()
    off = {"text", "alignment", "infomax", "one_domain_users"}
    assert {part.name for part in PARTS if not part.is_on(recipe)} == off
    told_why = {part.name: part.why_not(recipe) for part in PARTS if part.why_not(recipe)}
    assert list(told_why) == OF_ATTENTION
    assert set(told_why.values()) == {"it is a part of what graph.model.encoder=late leaves out"}


def test_the_parts_of_the_best_with_attention_are_those() -> None:
    recipe = recipe_of(*WITH_ATTENTION)
    off = {"late_interaction", "alignment", "infomax", "one_domain_users"}
    assert {part.name for part in PARTS if not part.is_on(recipe)} == off
    told_why = {part.name: part.why_not(recipe) for part in PARTS if part.why_not(recipe)}
    assert told_why == {"late_words": "it is a part of what graph.model.encoder=attention leaves out"}


def test_terms_of_an_evidence_that_is_not_there_are_not_switched() -> None:
    recipe = recipe_of("--graph.preset=paper")
    told_why = {part.name: part.why_not(recipe) for part in PARTS if part.needs == EVIDENCE}
    assert set(told_why) == {"evidence_near", "evidence_words", "evidence_floor", "evidence_time"}
    assert set(told_why.values()) == {"it is a part of what graph.model.evidence=false leaves out"}
    others = [part.name for part in PARTS if part.needs != EVIDENCE and part.why_not(recipe)]
    assert others == ["late_words"], "the paper's encoders are attention"


def test_a_card_says_what_a_pair_has_not() -> None:
    timeless = {"time_range": {"train": None}, "twins": {"train": 1.0}}
    timed = {"time_range": {"train": {"targets": []}}, "twins": {"train": 0.0}}
    assert [part.name for part in PARTS if part.why_not_of(timeless)] == ["evidence_time", "time"]
    assert [part.name for part in PARTS if part.why_not_of(timed)] == ["twins"]
    lonely = {**timed, "twins": {"train": 0.1}, "graph_only_users": 0}
    assert [part.name for part in PARTS if part.why_not_of(lonely)] == ["one_domain_users"]
    assert [part.name for part in PARTS if part.why_not_of({**lonely, "graph_only_users": 1})] == []


def test_parts_come_in_the_order_of_the_table() -> None:
    assert [part.name for part in parts_named("twins, alignment")] == ["alignment", "twins"]
    assert parts_named(None) == PARTS


def test_every_part_and_its_switch_is_in_the_docs() -> None:
    page = (Path(__file__).parents[4] / "docs" / "graph_quality.md").read_text(encoding="utf-8")
    section = page.partition("## Ask on a pair of your own\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    for part in PARTS:
        (row,) = [line for line in rows if f"`{part.name}`" in line.split("|")[1]]
        last = next(iter(part.off)).rpartition(".")[2]
        assert last in row or last.startswith("evidence_"), part.name


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("alignment,nobody", "no part 'nobody'; the parts are late_interaction, item_graphs"),
        ("time,time", "given twice"),
        ("", "no part ''"),
    ],
)
def test_a_wrong_list_of_parts_is_refused(names: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parts_named(names)


def test_a_key_that_is_switched_is_given_once() -> None:
    words = ["--graph.loss.align_weight=0.5", "--graph.loss.align=1", "--seed=2"]
    assert without(words, {"graph.loss.align_weight": 0.0}) == words[1:]
    assert words_of({"evaluation.clock": False, "graph.loss.align_weight": 0.0}) == [
        "--evaluation.clock=false",
        "--graph.loss.align_weight=0.0",
    ]


def test_a_value_is_read_by_its_dotted_name() -> None:
    assert value_of(recipe_of("--graph.schedule.epochs=7"), "graph.schedule.epochs") == 7
