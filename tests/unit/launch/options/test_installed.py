"""`where_installed`: a recipe's keys for where a package is there, checked where it is not."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from launch.config import Recipe, load_recipe
from launch.errors import InputError
from launch.options.installed import is_installed, merged


def load(tmp_path: Path, text: str, overrides: tuple[str, ...] = ()) -> Recipe:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides)


OVER = """
llm: {lr: 0.5, scratch: {num_layers: 2, num_heads: 2}}
where_installed:
  %s:
    llm: {lr: 0.25, scratch: {num_layers: 3}}
    prompts: {base: elsewhere}
"""


def test_keys_of_a_package_that_is_there_hold(tmp_path: Path) -> None:
    recipe = load(tmp_path, OVER % "yaml")
    llm = recipe.sections["llm"]
    assert (llm.lr, llm.scratch.num_layers, llm.scratch.num_heads) == (0.25, 3, 2)
    assert recipe.sections["prompts"].base == "elsewhere"
    assert recipe.installed == ("yaml",)
    assert "where_installed" not in recipe.resolved()


def test_keys_of_a_package_that_is_not_there_do_not(tmp_path: Path) -> None:
    recipe = load(tmp_path, OVER % "nobody_has_this_package")
    assert (recipe.sections["llm"].lr, recipe.sections["llm"].scratch.num_layers) == (0.5, 2)
    assert recipe.sections["prompts"].base == "scratch"
    assert recipe.installed == ()


def test_overrides_are_laid_over_both(tmp_path: Path) -> None:
    assert load(tmp_path, OVER % "yaml", ("--llm.lr=0.125",)).sections["llm"].lr == 0.125


def test_overrides_for_a_recipe_without_the_package_are_no_mistake(tmp_path: Path) -> None:
    own = "pair: {path: /tmp}\n"  # which a synthetic pair has not
    over = "where_installed: {%s: {llm: {lr: 0.25}}}\n"
    for package in ("nobody_has_this_package", "yaml"):
        recipe = load(tmp_path, own + over % package, ("--pair.source=released",))
        assert recipe.sections["pair"].source == "released"


def test_a_folder_is_no_package_for_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "as_it_is_called" / "data").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "a_script", ModuleType("a_script"))  # as Python has what it runs: without a spec
    assert importlib.util.find_spec("as_it_is_called") is not None
    assert not is_installed("as_it_is_called")
    with pytest.raises(ValueError, match="__spec__"):
        importlib.util.find_spec("a_script")
    assert not is_installed("a_script")
    assert is_installed("yaml")


def test_a_preset_is_what_a_package_asks_for(tmp_path: Path) -> None:
    text = "graph: {preset: paper}\nwhere_installed: {yaml: {graph: {preset: best}}}\n"
    assert load(tmp_path, text).sections["graph"] == load(tmp_path, "graph: {preset: best}\n").sections["graph"]


@pytest.mark.parametrize("package", ["yaml", "nobody_has_this_package"])
@pytest.mark.parametrize(
    ("over", "said"),
    [
        ("{llm: {learning_rate: 1}}", "unknown key llm.learning_rate"),
        ("{llm: {lr: null}}", "llm.lr must not be null"),
        ("{llm: {lr: -1}}", "llm.lr"),
        ("{llm: 3}", "llm must hold keys and values"),
        ("{seed: 3}", "unknown section 'seed'"),
        ("{nothing: {}}", "unknown section 'nothing'"),
        ("3", "must hold sections"),
    ],
)
def test_a_mistake_is_found_whether_the_package_is_there_or_not(
    tmp_path: Path, package: str, over: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        load(tmp_path, f"where_installed: {{{package}: {over}}}\n")
    assert f"where_installed.{package}" in str(refused.value)


@pytest.mark.parametrize("text", ["where_installed: 3", "where_installed: {}", "where_installed: {../x: {llm: {}}}"])
def test_what_names_no_package_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="where_installed"):
        load(tmp_path, f"{text}\n")


def test_merged_leaves_what_it_was_given(tmp_path: Path) -> None:
    below, above = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}, "d": {"e": 5}}
    assert merged(below, above) == {"a": {"b": 1, "c": 4}, "d": {"e": 5}}
    assert below == {"a": {"b": 1, "c": 2}, "d": 3}
