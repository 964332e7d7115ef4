"""The table of an ablation: figures as in the reports, differences as `kinrec compare` has them, seeds together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.ablation import SHOWN, ablation_table, main, render
from evaluation.compare import compare
from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from launch.artifacts import read_json, write_json
from tests.evaluation_runs import write_run, write_system

CONFIG = EvaluationConfig(bootstrap_resamples=100, list_depth=20, ranker_samples=0)
RESAMPLES = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one pair whose graph's lists differ, and one of another pair."""
    folder = tmp_path_factory.mktemp("ablate")
    for name, seed, taste in (("reference", 1, 5), ("part", 1, 6), ("strange", 9, 7)):
        write_run(folder / name, seed=seed, systems=("graph",))
        write_system(folder / name, "graph", random=np.random.default_rng(taste))
        evaluate(CONFIG, run_dir=folder / name, seed=1)
    return folder


def row(name: str, *, in_recipe: bool = True, runs: dict[str, str] | None = None, **facts: Any) -> dict[str, Any]:
    """A part in parts.json."""
    return {"part": name, "what": f"what {name} is", "in_recipe": in_recipe, "runs": runs or {}} | {
        "waiting": facts.get("waiting", []),
        "why_not": facts.get("why_not"),
    }


def table_of(folder: Path, parts: list[dict[str, Any]], *, references: dict[str, str] | None = None) -> dict[str, Any]:
    told = {"recipe": "tiny", "references": references or {"1": "reference"}, "parts": parts}
    write_json(folder / "parts.json", told)
    return ablation_table(folder, resamples=RESAMPLES)


def reported(run_dir: Path, split: str, system: str) -> dict[str, float]:
    figures: dict[str, float] = read_json(run_dir / "report" / "metrics.json")["splits"][split]["systems"][system][
        "all"
    ]
    return figures


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize("system", ["graph", "kinrec"])
def test_a_part_earns_what_the_run_with_it_is_above_the_one_without(folder: Path, split: str, system: str) -> None:
    runs = {"1": "part"}
    table = table_of(folder, [row("taken", runs=runs), row("given", runs=runs, in_recipe=False)])["splits"][split]
    on, off = (folder / name for name in ("reference", "part"))
    compared = compare([off, on], system=system, split=split, resamples=RESAMPLES)
    taken, given = (table[system]["parts"][name] for name in ("taken", "given"))
    for metric in SHOWN:
        figures = [reported(run, split, system)[metric] for run in (on, off)]
        assert [taken[way][metric]["mean"] for way in ("on", "off")] == figures
        apart, earned = compared.differences[str(on)][metric], taken["earns"][metric]
        assert [earned["mean"], *earned["ci95"], earned["p"]] == [apart.mean, apart.low, apart.high, apart.p]
        assert given["earns"][metric]["mean"] == pytest.approx(-taken["earns"][metric]["mean"])
        assert given["on"] == taken["off"]
    assert any(taken["earns"][metric]["mean"] != 0 for metric in SHOWN) or system != "graph"


def test_seeds_have_a_mean_a_spread_and_one_interval(folder: Path) -> None:
    seeds = {"1": "reference", "2": "part"}
    part = row("taken", runs={"1": "part", "2": "part"})
    judged = table_of(folder, [part], references=seeds)["splits"]["test"]["graph"]
    alone = table_of(folder, [row("taken", runs={"1": "part"})])["splits"]["test"]["graph"]
    first, second = alone["parts"]["taken"]["on"]["mrr"]["mean"], alone["parts"]["taken"]["off"]["mrr"]["mean"]
    assert judged["reference"]["mrr"]["mean"] == pytest.approx((first + second) / 2)
    assert judged["reference"]["mrr"]["standard_deviation"] == pytest.approx(abs(first - second) / np.sqrt(2))
    earned, earned_once = judged["parts"]["taken"]["earns"]["mrr"], alone["parts"]["taken"]["earns"]["mrr"]
    assert earned["by_seed"] == {"1": pytest.approx(earned_once["mean"]), "2": 0.0}
    assert earned["mean"] == pytest.approx(earned_once["mean"] / 2)
    assert earned["ci95"] == pytest.approx([end / 2 for end in earned_once["ci95"]])
    assert earned_once["standard_deviation"] is None


def test_what_cannot_be_paired_is_told_with_the_reason(folder: Path) -> None:
    table = table_of(folder, [row("other_pair", runs={"1": "strange"})])
    assert table["splits"]["test"]["graph"]["parts"]["other_pair"]["unpaired"] == "the prepared pairs differ"
    assert render(table).count("other_pair: no paired difference, the prepared pairs differ") == 4


def test_the_page_has_a_table_for_each_split_and_system_and_names_what_is_missing(folder: Path) -> None:
    parts = [
        row("taken", runs={"1": "part"}),
        row("later", waiting=[1]),
        row("never", why_not="the pair has no times", in_recipe=False),
    ]
    page = render(table_of(folder, parts))
    assert page.startswith("tiny, seed 1: what each part earns, on - off")
    for split in ("valid", "test"):
        for system in ("graph", "kinrec"):
            assert f"\n{system}, {split}, 50 samples; the recipe as it is: hr@10 " in page
    lines = [line.split() for line in page.splitlines() if line.startswith("taken ")]
    assert len(lines) == 4
    assert {tuple(line[:2]) for line in lines} == {("taken", "on")}
    assert "\nlater: not finished yet, seed 1\n" in page
    assert "\nnever: not switched, the pair has no times\n" in page
    assert "+-" not in page


def test_the_page_of_several_seeds_shows_their_spread(folder: Path) -> None:
    seeds = {"1": "reference", "2": "part"}
    parts = [row("taken", runs={"1": "part", "2": "reference"}, waiting=[3, 4])]
    page = render(table_of(folder, parts, references=seeds))
    assert page.startswith("tiny, seeds 1, 2: ")
    assert page.count(" +- ") >= 4 * 8
    assert "taken: not finished yet, seeds 3, 4" in page


def test_the_table_is_written_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of(folder, [row("taken", runs={"1": "part"})])
    main([str(folder), f"--resamples={RESAMPLES}"])
    assert capsys.readouterr().out == render(table) == (folder / "ablation.txt").read_text(encoding="utf-8")
    assert read_json(folder / "ablation.json") == table


def test_a_report_that_is_gone_is_named_and_the_table_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder), f"--resamples={RESAMPLES}"])
    before = (folder / "ablation.txt").read_bytes()
    table_of(folder, [row("taken", runs={"1": "part"})])
    write_json(folder / "parts.json", {"recipe": "tiny", "references": {"1": "nowhere"}, "parts": []})
    with pytest.raises(SystemExit) as ended:
        main([str(folder)])
    assert ended.value.code == 2
    assert "nowhere" in capsys.readouterr().err
    assert (folder / "ablation.txt").read_bytes() == before
