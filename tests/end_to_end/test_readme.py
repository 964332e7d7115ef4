"""The README tells the truth: its commands run in their order, and its table of the demo is what comes out.

The demo is run as the README says, but for the length of its fine-tune (`FEWER_STEPS`): the rows that the language
model has a part in may differ between kinds of CPU anyhow, as the README says, and no other row depends on it.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launch.artifacts import read_json

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FEWER_STEPS = "--llm.max_steps=20"
NEAR = 0.004
NEAR_OF = {"kinrec": 0.02}
"""How many trees serve valid, and which weight, may change with the last bit of a score."""
LLM_ROWS = {"llm", "paper_refined", "fusion"}
COLUMNS = ("hr@1", "hr@5", "hr@10", "hr@20", "mrr")


def marked_commands() -> list[list[str]]:
    """The command lines of the block that the README marks for this test, as words."""
    block = re.search(r"<!-- tests/end_to_end/test_readme.py runs.*?-->\n```bash\n(.*?)```", README, flags=re.DOTALL)
    assert block is not None, "the README marks no block"
    return [shlex.split(line, comments=True) for line in block[1].splitlines()]


def demo_table() -> dict[str, list[str]]:
    """System -> HR@1, HR@5, HR@10, HR@20, MRR as the README prints them, and the interval of HR@10 behind."""
    rows = re.search(r"\| Food-Kitchen \(synthetic\), test.*?\n\|[-|]+\n(.*?)\n\n", README, flags=re.DOTALL)
    assert rows is not None, "the README has no table of the demo"
    table = {}
    for line in rows[1].splitlines():
        name, *cells = (cell.strip().strip("*") for cell in line.strip("|").split("|"))
        value, interval = cells[2].split(" ", 1)
        table[name] = [*cells[:2], value, *cells[3:], interval]
    return table


def numbers(row: list[str]) -> list[float]:
    return [float(number) for number in re.findall(r"\.\d+", " ".join(row))]


def printed(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def as_printed(metrics: dict[str, Any]) -> list[str]:
    low, high = metrics["ci95"]["hr@10"]
    return [*(printed(metrics[name]) for name in COLUMNS), f"[{printed(low)}, {printed(high)}]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's reader stands."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, str]:
    """What each command printed, by its words; all of them ended with status 0."""
    program = str(Path(sys.executable).parent / "kinrec")
    said = {}
    for name, *words in marked_commands():
        assert name == "kinrec"
        command = [program, *words, FEWER_STEPS] if words == ["demo"] else [program, *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)
        assert ended.returncode == 0, f"{' '.join([name, *words])}: {ended.stderr[-2000:]}"
        said[" ".join(words)] = ended.stdout + ended.stderr
    return said


@pytest.fixture(scope="module")
def metrics(folder: Path, answers: dict[str, str]) -> dict[str, Any]:
    written: dict[str, Any] = read_json(folder / "runs" / "demo" / "report" / "metrics.json")
    return written


def test_the_demo_prints_the_table_of_the_readme(metrics: dict[str, Any]) -> None:
    systems = metrics["splits"]["test"]["systems"]
    table = demo_table()
    assert list(table) == list(systems)
    rows = {name: as_printed(systems[name]["all"]) for name in table if name not in LLM_ROWS}
    for name, row in rows.items():  # sums are rounded as the processor adds up, so near ties may fall either way
        assert numbers(row) == pytest.approx(numbers(table[name]), abs=NEAR_OF.get(name, NEAR)), name
    assert f"test, {metrics['splits']['test']['num_samples']} samples" in README
    assert not any(source.startswith("llm") for source in metrics["chosen"]["fusion"]["weights"])


def test_the_readme_counts_as_the_run_does(metrics: dict[str, Any]) -> None:
    systems, users = metrics["splits"]["test"]["systems"], metrics["retrieval"]["test"]
    over_popularity = systems["kinrec"]["all"]["hr@10"] / systems["popularity"]["all"]["hr@10"]
    ten, nearest = (users[f"hit_rate@{k}"] / users[f"random_hit_rate@{k}"] for k in (10, 1))
    said = re.search(r"finds (\d+\.\d) times as many targets as popularity", README)
    assert said is not None
    assert float(said[1]) == pytest.approx(over_popularity, rel=0.04)
    assert f"{ten:.1f} times as often as random ones (10 users; {nearest:.1f} times for the nearest)" in README


def test_every_command_answers(answers: dict[str, str]) -> None:
    status, recommended, again = (answers[" ".join(words)] for _, *words in marked_commands()[1:])
    assert status.count("finished") == 7
    assert "recommended, Kitchen:" in recommended
    assert len(re.findall(r"^ +\d+ +\d+\.\d+  \S", recommended, flags=re.MULTILINE)) == 10
    assert "still holds, skipped" in again
