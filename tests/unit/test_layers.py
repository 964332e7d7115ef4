"""Imports run one way: launch <- pairs <- evaluation <- graph <- retrieval <- training."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ["launch", "pairs", "evaluation", "graph", "retrieval", "training"]


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_itself_and_those_to_its_left(package: str) -> None:
    forbidden = set(LAYERS[LAYERS.index(package) + 1 :]) | {"tests", "bench"}
    wrong = {
        str(path.relative_to(ROOT)): imported_packages(path) & forbidden for path in (ROOT / package).rglob("*.py")
    }
    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize("package", [*LAYERS, "ds_configs", "tests", "bench"])
def test_package_docstring_says_what_it_is(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)


def test_only_distributed_names_a_back_end() -> None:
    words = ("nccl", '"gloo"', 'environ["RANK"]')
    allowed = {"launch/distributed.py", "launch/stage.py", "training/tuning/engine.py"}
    users = {
        str(path.relative_to(ROOT))
        for package in LAYERS
        for path in (ROOT / package).rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in words)
    }
    assert users <= allowed
