"""Recipes: every key is known and typed, and a refusal names it."""

from pathlib import Path

import pytest
import yaml

from launch.config import RECIPES, find_recipe, load_recipe
from launch.errors import InputError


def recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_name_defaults_to_the_file(tmp_path: Path) -> None:
    assert load_recipe(recipe(tmp_path, "seed: 3\n")).name == "mine"


def test_override_wins_over_the_file(tmp_path: Path) -> None:
    path = recipe(tmp_path, "launch: {processes: 2}\n")
    assert load_recipe(path, ["--launch.processes=5"]).launch.processes == 5


@pytest.mark.parametrize(
    ("text", "overrides", "named"),
    [
        ("grap: {}\n", [], "grap"),
        ("graph: {epoch: 3}\n", [], "graph.epoch"),
        ("launch: {processes: two}\n", [], "launch.processes"),
        ("launch: {processes: 0}\n", [], "launch.processes"),
        ("seed: 1\n", ["--launch.processes=two"], "launch.processes"),
        ("seed: 1\n", ["--graph.nothing=1"], "graph.nothing"),
        ("seed: 1\n", ["--nothing=1"], "nothing"),
        ("seed: 1\n", ["nothing"], "nothing"),
        ("- 1\n", [], "mapping"),
        ("a: [\n", [], "YAML"),
    ],
)
def test_wrong_recipe_is_refused_by_name(tmp_path: Path, text: str, overrides: list[str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        load_recipe(recipe(tmp_path, text), overrides)


@pytest.mark.parametrize(
    ("text", "overrides", "where"),
    [
        ("graph: {ranking: all}\n", ["--graph.ranking=al"], "command line: graph.ranking"),
        ("graph: {ranking: al}\n", ["--seed=2"], "mine.yaml: graph.ranking"),
        ("grap: {}\n", ["--graph.ranking=al"], "mine.yaml: unknown key 'grap'"),
        ("seed: 1\n", ["--graph.rankin=al"], "command line: unknown key graph.rankin"),
        ("prompts: {base: ' '}\n", ["--launch.processes=0"], "launch.processes"),
    ],
)
def test_a_mistake_is_said_to_be_where_it_is(tmp_path: Path, text: str, overrides: list[str], where: str) -> None:
    with pytest.raises(InputError) as refused:
        load_recipe(recipe(tmp_path, text), overrides)
    assert where in str(refused.value)
    assert str(refused.value).startswith(("command line: ", str(tmp_path)))


def test_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(InputError, match="demo"):
        find_recipe("nothing")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipe_survives_writing_it_out(path: Path, tmp_path: Path) -> None:
    first = load_recipe(path)
    again = load_recipe(recipe(tmp_path, yaml.safe_dump(first.resolved())))
    assert again.resolved() == first.resolved()


@pytest.mark.parametrize("written", ["2015-01-31", '"2015-01-31"', "2015-01-31T10:00:00"])
def test_date_in_a_recipe_needs_no_quotes(tmp_path: Path, written: str) -> None:
    recipe = tmp_path / "dated.yaml"
    recipe.write_text(f"pair: {{source: amazon, path: d, time_from: {written}}}", encoding="utf-8")
    assert load_recipe(recipe).sections["pair"].time_from == written.strip('"')
    assert load_recipe(recipe, ["--pair.time_to=2016-02-01"]).sections["pair"].time_to == "2016-02-01"
