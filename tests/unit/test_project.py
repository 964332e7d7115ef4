"""pyproject.toml says all that the packages need, and what they are."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from launch.stages import STAGES, Stage

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [pattern.removesuffix("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
CHOSEN_EXTRAS = ("cpu", "gpu")  # a user installs one of them: what both bring may be imported


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_does_something_when_its_module_is_started(stage: Stage) -> None:
    text = (ROOT / (stage.module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    assert text.endswith('\n\nif __name__ == "__main__":\n    main()\n')


def distribution(requirement: str) -> str:
    """The name of what a line of `dependencies` asks for, as the index writes it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def imported_modules() -> dict[str, str]:
    """Module -> a file that imports it, anywhere in it, for all modules that are neither ours nor Python's own."""
    imported: dict[str, str] = {}
    for path in (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            for name in (name.partition(".")[0] for name in names):
                imported.setdefault(name, str(path.relative_to(ROOT)))
    return {name: file for name, file in imported.items() if name not in {*sys.stdlib_module_names, *PACKAGES}}


def declared() -> set[str]:
    extras = PROJECT["project"]["optional-dependencies"]
    chosen = [requirement for extra in CHOSEN_EXTRAS for requirement in extras[extra]]
    return {distribution(requirement) for requirement in [*PROJECT["project"]["dependencies"], *chosen]}


@pytest.mark.parametrize(("module", "file"), sorted(imported_modules().items()))
def test_every_import_of_the_wheel_is_declared(module: str, file: str) -> None:
    providers = {distribution(name) for name in packages_distributions().get(module, [])}
    assert providers & declared(), f"{file} imports {module} of {sorted(providers)}, which pyproject.toml does not name"


def test_the_readme_gives_a_reason_for_every_dependency() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Dependencies")[2].partition("\n## ")[0]
    first_cells = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    named = {distribution(name) for name in re.findall(r"[\w.-]+", first_cells)}
    assert declared() - named == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["*"]


def test_the_packages_are_those_with_code() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert set(PACKAGES) == folders


def test_the_container_file_takes_all_that_is_installed() -> None:
    text = (ROOT / "docs" / "sites" / "kinrec.def").read_text(encoding="utf-8")
    files = text.partition("%files\n")[2].partition("\n\n")[0]
    copied = {line.split()[0] for line in files.splitlines()}
    installed = {*PACKAGES, "pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    assert copied == {*installed, "Makefile"}


def test_lint_checks_style_format_and_types() -> None:
    said = subprocess.run(["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for command in ("ruff check .", "ruff format --check .", "/mypy"):
        assert command in said, command
