"""The recipes in docs/own_pair.md are recipes, its tables are tables that `prepare` takes."""

import re
from pathlib import Path

import pytest

from launch.config import load_recipe
from pairs.config import PairConfig
from pairs.prepare import prepare
from pairs.tables import GRAPH_ONLY, SPLITS, load_pair, load_samples

PAGE = Path(__file__).parents[3] / "docs" / "own_pair.md"
RECIPES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("text", RECIPES, ids=lambda text: text.splitlines()[0])
def test_recipe_of_the_page_is_accepted(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.yaml").sections["pair"].source != "synthetic"


def test_tables_of_the_page_are_a_pair(tmp_path: Path) -> None:
    tables = re.findall(r"```csv\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "mine").mkdir()
    for name, table in zip(("items", "samples", "one_domain"), tables, strict=True):
        (tmp_path / "mine" / f"{name}.csv").write_text(table, encoding="utf-8")
    prepare(
        PairConfig(source="samples", path=str(tmp_path / "mine"), graph_users="one_domain"), run_dir=tmp_path / "run"
    )
    assert load_pair(tmp_path / "run").domain_names == ("art", "book")
    assert [len(load_samples(tmp_path / "run", split)) for split in (*SPLITS, GRAPH_ONLY)] == [2, 2, 2, 2]
