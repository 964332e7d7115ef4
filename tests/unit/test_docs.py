"""The pages hold together: what is linked or cited exists, and the page of keys is that of the code."""

import re
import subprocess
from pathlib import Path

import pytest

from launch.config import load_recipe
from launch.options.page import field_docs, render
from training.config import LoraConfig

ROOT = Path(__file__).parents[2]
KEPT = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
).stdout.split()  # empty where this is no checkout
FILES = [ROOT / name for name in KEPT if (ROOT / name).is_file()]
PAGES = [path for path in FILES if path.suffix == ".md"]
TEXTS = [path for path in FILES if path.suffix in {".py", ".md", ".yaml", ".toml"} or path.name == "Makefile"]
CITED = re.compile(r"(?<![\w/.-])docs/(?P<page>\w+\.md)(?:#(?P<section>[\w-]+))?")
LINK = re.compile(r"\]\((?!https?://|mailto:)(?P<target>[^)\s]*)\)")
MODULE = re.compile(r"`((?:launch|pairs|evaluation|graph|retrieval|training|tests|bench)/[\w/]+\.py)`")


def sections(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where it is shown."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, section: str | None) -> bool:
    return not page.exists() or (section is not None and section not in sections(page))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.skipif(not FILES, reason="not a git checkout")
def test_every_cited_page_and_section_exists() -> None:
    cited = {
        (name_of(path), match[0])
        for path in TEXTS
        for match in CITED.finditer(path.read_text(encoding="utf-8"))
        if broken(ROOT / "docs" / match["page"], match["section"])
    }
    assert cited == set()


@pytest.mark.skipif(not FILES, reason="not a git checkout")
def test_every_relative_link_resolves() -> None:
    dead = set()
    for page in PAGES:
        for match in LINK.finditer(page.read_text(encoding="utf-8")):
            target, _, section = match["target"].partition("#")
            if broken(page.parent / target if target else page, section or None):
                dead.add((name_of(page), match["target"]))
    assert dead == set()


@pytest.mark.skipif(not FILES, reason="not a git checkout")
def test_every_module_that_a_page_names_exists() -> None:
    named = {
        (name_of(page), module)
        for page in PAGES
        for module in MODULE.findall(page.read_text(encoding="utf-8"))
        if "NAME" not in module and not (ROOT / module).is_file()
    }
    assert named == set()


@pytest.mark.skipif(not FILES, reason="not a git checkout")
def test_citations_are_by_page_and_section() -> None:
    shouted = re.compile(r"\b(?:METHOD|DESIGN)\b")
    cited = {
        name_of(path) for path in TEXTS if path.suffix == ".py" and shouted.search(path.read_text(encoding="utf-8"))
    }
    assert cited - {name_of(Path(__file__))} == set()


@pytest.mark.skipif(not FILES, reason="not a git checkout")
def test_every_key_that_a_page_sets_exists() -> None:
    known = set(re.findall(r"^\| `([\w.]+)` \|", render(), flags=re.MULTILINE))
    sections = "|".join({key.partition(".")[0] for key in known})
    setting = re.compile(rf"(?:--|`)((?:{sections})\.[a-z0-9_.]+)(?==|: )")
    unknown = {
        (name_of(page), key)
        for page in PAGES
        for key in setting.findall(page.read_text(encoding="utf-8"))
        if key not in known
    }
    assert unknown == set()


def test_the_recipe_of_the_readme_is_accepted(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.yaml").name == "my_pair"


def test_a_missing_section_is_noticed() -> None:
    assert "traps-of-the-released-data" in sections(ROOT / "docs" / "method.md")
    assert broken(ROOT / "docs" / "method.md", "no-such-section")
    assert broken(ROOT / "docs" / "no_such_page.md", None)


def test_the_page_of_keys_is_current() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert page == render(), "write it anew: python -m launch.options.page > docs/recipe.md"


def test_every_key_is_explained() -> None:
    unexplained = [line for line in render().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert unexplained == []


def test_a_field_is_explained_by_the_text_below_it() -> None:
    assert field_docs(LoraConfig)["rank"] == "Rank of the adapters (URLLM: 8)."


def test_every_room_stands_in_the_table_of_rooms() -> None:
    rooms = {path.parent for path in FILES if path.name == "__init__.py" and len(path.relative_to(ROOT).parts) == 3}
    rooms = {room for room in rooms if room.parent.name not in {"tests", "bench"}}
    assert rooms or not FILES
    lines = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `") and line.count("|") == 4}
    missing = [name_of(room) for room in rooms if f"`{room.name}/`" not in rows[f"{room.parent.name}/"]]
    assert not missing, f"docs/design.md does not name {missing}"
