"""The recipes in docs/own_pair.md are recipes."""

import re
from pathlib import Path

import pytest

from launch.config import load_recipe

PAGE = Path(__file__).parents[3] / "docs" / "own_pair.md"
RECIPES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("text", RECIPES, ids=lambda text: text.splitlines()[0])
def test_recipe_of_the_page_is_accepted(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.yaml").sections["pair"].source in ("amazon", "tables")
