"""The laws of the house: who may import whom, what a room holds, who knows of ranks.

Imports run one way: launch <- pairs <- evaluation <- graph <- retrieval <- training. Each law is a function of source
text or of names, so that it is shown here what breaks it.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ["launch", "pairs", "evaluation", "graph", "retrieval", "training"]
MOST_FILES = 15
"""Modules of a folder, `__init__.py` not counted."""
MOST_FILES_OF = {"graph": 23, "launch": 23}
"""The two packages that stay flat until they outgrow this."""
RANK_WORDS = re.compile(r"\b(RANK|WORLD_SIZE|LOCAL_RANK|(?i:nccl|gloo))\b")
VAGUE = {"found", "of", "wide"}
KNOW_RANKS = {"launch/distributed.py", "launch/ranks.py"}


def imported_modules(source: str) -> set[str]:
    """Dotted names that a source text imports; `from a.b import c` gives `a.b` and `a.b.c`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def relative_imports(source: str) -> list[str]:
    """Imports with leading dots, which the other laws would not see."""
    tree = ast.walk(ast.parse(source))
    return [ast.unparse(node) for node in tree if isinstance(node, ast.ImportFrom) and node.level > 0]


def forbidden_packages(package: str, source: str) -> set[str]:
    """Packages to the right of `package` that a source text of it imports."""
    forbidden = set(LAYERS[LAYERS.index(package) + 1 :]) | {"tests", "bench"}
    return {name.partition(".")[0] for name in imported_modules(source)} & forbidden


def room_arrows(package: str, sources: Mapping[str, str], rooms: Iterable[str]) -> dict[str, set[str]]:
    """Room -> the other rooms of `package` that its modules import; `sources` maps `room/module.py` to text."""
    names = set(rooms)
    arrows: dict[str, set[str]] = {room: set() for room in names}
    for path, source in sources.items():
        room = path.partition("/")[0]
        if room in names:
            inside = [name.split(".") for name in imported_modules(source) if name.startswith(f"{package}.")]
            arrows[room] |= {parts[1] for parts in inside} & (names - {room})
    return arrows


def outside_report(source: str) -> list[str]:
    """What a module of evaluation/report imports of the rest of evaluation."""
    names = (name for name in imported_modules(source) if name.partition(".")[0] == "evaluation")
    return sorted(name for name in names if name != "evaluation" and not f"{name}.".startswith("evaluation.report."))


def circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """Nodes that lead back to the first of them, or an empty list."""

    def follow(path: list[str]) -> list[str]:
        for after in sorted(arrows[path[-1]]):
            if after in path:
                return [*path[path.index(after) :], after]
            if round_trip := follow([*path, after]):
                return round_trip
        return []

    return next((round_trip for start in sorted(arrows) if (round_trip := follow([start]))), [])


def crowded(files: Mapping[str, int]) -> dict[str, int]:
    """Folders with more modules than a reader takes in."""
    return {folder: count for folder, count in files.items() if count > MOST_FILES_OF.get(folder, MOST_FILES)}


def rank_words(source: str) -> list[str]:
    """Where a source text names a back end or a launcher's variable: strings (not docstrings), attributes, keywords."""
    tree = ast.parse(source)
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    words = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            words += RANK_WORDS.findall(node.value)
        elif isinstance(node, ast.Attribute) and node.attr in {"NCCL", "GLOO"}:
            words.append(node.attr)
        elif isinstance(node, ast.keyword) and node.arg in {"RANK", "WORLD_SIZE", "LOCAL_RANK"}:
            words.append(node.arg)
    return words


def class_names(source: str) -> list[str]:
    """The classes of a module that others can import."""
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]


def vague_names(source: str) -> list[str]:
    """Variables and parameters that do not say what they hold; a field of a class has its class to say it."""
    tree = list(ast.walk(ast.parse(source)))
    fields = {
        id(statement.target)
        for node in tree
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    names = {node.arg for node in tree if isinstance(node, ast.arg)} | {
        node.id
        for node in tree
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields
    }
    return sorted(names & VAGUE)


def _modules(package: str) -> Iterator[tuple[str, str]]:
    """(path below the root, source text) of every module of a package."""
    for path in sorted((ROOT / package).rglob("*.py")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_itself_and_those_to_its_left(package: str) -> None:
    wrong = {path: forbidden_packages(package, source) for path, source in _modules(package)}
    assert {path: names for path, names in wrong.items() if names} == {}
    assert {path: imports for path, source in _modules(package) if (imports := relative_imports(source))} == {}


@pytest.mark.parametrize("package", LAYERS)
def test_no_rooms_of_a_package_import_each_other_in_a_circle(package: str) -> None:
    rooms = {path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").is_file()}
    sources = {path.partition("/")[2]: source for path, source in _modules(package)}
    assert circle(room_arrows(package, sources, rooms)) == []


def test_the_report_imports_nothing_else_of_evaluation() -> None:
    assert {path: names for path, source in _modules("evaluation/report") if (names := outside_report(source))} == {}


@pytest.mark.parametrize("package", [*LAYERS, "ds_configs", "tests", "bench"])
def test_a_folder_holds_no_more_modules_than_a_reader_takes_in(package: str) -> None:
    files: dict[str, int] = {}
    for path, _ in _modules(package):
        folder, _, name = path.rpartition("/")
        files[folder] = files.get(folder, 0) + (name != "__init__.py")
    assert crowded(files) == {}


@pytest.mark.parametrize("package", [*LAYERS, "ds_configs", "tests", "bench"])
def test_package_docstring_says_what_it_is(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)


def test_only_two_files_of_launch_know_of_ranks_and_back_ends() -> None:
    users = {path: words for package in LAYERS for path, source in _modules(package) if (words := rank_words(source))}
    assert {path: words for path, words in users.items() if path not in KNOW_RANKS} == {}


def test_a_class_name_means_one_class() -> None:
    places: dict[str, list[str]] = {}
    for package in LAYERS:
        for path, source in _modules(package):
            for name in class_names(source):
                places.setdefault(name, []).append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("package", [*LAYERS, "tests", "bench"])
def test_a_variable_says_what_it_holds(package: str) -> None:
    assert {path: names for path, source in _modules(package) if (names := vague_names(source))} == {}


def test_tables_means_one_module() -> None:
    assert [path for package in LAYERS for path, _ in _modules(package) if path.endswith("/tables.py")] == [
        "pairs/tables.py"
    ]


def test_ranks_are_read_without_a_heavy_import() -> None:
    modules = imported_modules((ROOT / "launch" / "ranks.py").read_text(encoding="utf-8"))
    assert modules == {"os"}


# What breaks each law.


@pytest.mark.parametrize(
    "source", ["import training", "from training.finetune import main", "def late():\n    import bench.llm"]
)
def test_an_import_to_the_right_is_seen(source: str) -> None:
    assert forbidden_packages("graph", source) != set()
    assert forbidden_packages("graph", "from graph.attention.model import x\nfrom pairs.tables import y") == set()


def test_a_class_in_a_module_is_seen() -> None:
    assert class_names("class Batch:\n    class Inner: ...\nclass _Own: ...\ndef f(): ...") == ["Batch"]


def test_a_relative_import_is_seen() -> None:
    assert relative_imports("from ..training import finetune") == ["from ..training import finetune"]


@pytest.mark.parametrize(
    "back",
    [
        "from pairs.reading.text import clean",
        "import pairs.reading.text",
        "from pairs import reading",
        "def late():\n    from pairs.reading import text",
    ],
)
def test_rooms_that_import_each_other_are_seen(back: str) -> None:
    sources = {"reading/rows.py": "from pairs.sifting.core import keep", "sifting/core.py": back}
    assert circle(room_arrows("pairs", sources, {"reading", "sifting"})) == ["reading", "sifting", "reading"]


def test_a_circle_over_three_rooms_is_seen() -> None:
    arrows = {"card": {"samples"}, "reading": {"card"}, "samples": {"reading"}, "synthetic": {"card"}}
    assert circle(arrows) == ["card", "samples", "reading", "card"]
    assert circle({**arrows, "samples": set()}) == []


def test_a_module_beside_the_rooms_is_no_room() -> None:
    sources = {"reading/rows.py": "from pairs.config import PairConfig", "config.py": "import pairs.reading.rows"}
    assert circle(room_arrows("pairs", sources, {"reading"})) == []


def test_a_sixteenth_module_is_seen() -> None:
    assert crowded({"retrieval": 15, "graph": 23}) == {}
    assert crowded({"retrieval": 16, "graph": 24, "graph/encoders": 16}) == {
        "retrieval": 16,
        "graph": 24,
        "graph/encoders": 16,
    }


@pytest.mark.parametrize(
    "source",
    [
        'import os\nos.environ.get("RANK")',
        'import os\nos.environ["WORLD_SIZE"]',
        'import os\nos.environ.setdefault("LOCAL_RANK", "0")',
        "import os\nos.getenv('RANK', '0')",
        'import os\nos.environ.update(RANK="0")',
        'import torch.distributed as dist\ndist.init_process_group("nccl")',
        'import torch.distributed as dist\ndist.init_process_group(backend="cpu:gloo,cuda:nccl")',
        "import torch.distributed as dist\ndist.init_process_group(dist.Backend.GLOO)",
        "import os\nf\"rank {os.environ['RANK']}\"",
    ],
)
def test_a_rank_read_elsewhere_is_seen(source: str) -> None:
    assert rank_words(source) != []


def test_a_docstring_may_speak_of_ranks_and_back_ends() -> None:
    assert rank_words('"""On CUDA over NCCL, elsewhere over gloo."""\nrank = world.rank\nRANKS = 2\n') == []


@pytest.mark.parametrize(
    "source",
    ["found = 1", "def f(of: int) -> None: ...", "for wide in (): ...", "found: int = 1", "[of for of in ()]"],
)
def test_a_vague_name_is_seen(source: str) -> None:
    assert len(vague_names(source)) == 1


def test_a_field_and_a_longer_name_are_let_be() -> None:
    assert vague_names("class Finding:\n    found: int\n\nfound_items = 1") == []


def test_a_report_that_looks_around_is_seen() -> None:
    assert outside_report("from evaluation.metrics.ranks import Ranks") != []
    assert outside_report("import evaluation.reporting") != []
    assert outside_report("from evaluation.report.html_style import STYLE\nfrom launch.errors import InputError") == []
