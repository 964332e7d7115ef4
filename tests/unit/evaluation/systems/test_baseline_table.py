"""A baseline is one class, one row of the table and one name: nothing else may list them."""

import ast
from pathlib import Path

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.matrices import Floats
from evaluation.ranked_lists import read_lists
from evaluation.systems import judging
from evaluation.systems.baseline_table import BASELINE_TABLE, Baseline, Material
from evaluation.systems.mixture import ALONE, BASELINE_SETS, baseline_sets
from launch.stages import stage_named
from launch.systems import BASELINES, COMPARED, FUSED, GRAPH_PARTS, GRAPH_SYSTEMS, JUDGED, SYSTEMS, TAUGHT, WRITER
from pairs.tables import Items, Samples
from tests.evaluation_runs import write_run

ROOT = Path(__file__).parents[4]
PACKAGES = ("launch", "pairs", "evaluation", "graph", "retrieval", "training")
MAY_NAME = {
    "launch/systems.py",  # the table of all systems
    "evaluation/systems/baseline_table.py",  # the rows
    "evaluation/systems/mixture.py",  # sets that are added: a choice of the method
}


def named_baselines(source: str) -> set[str]:
    """Baselines (but `text`, a common word) that a source text holds as a string of their own."""
    constants = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return {value for value in constants if isinstance(value, str)} & (set(BASELINES) - {"text", "popularity"})


def test_pairs_whose_difference_is_tested_come_from_the_table() -> None:
    assert COMPARED == (
        ("kinrec", "fusion"), ("kinrec", "baseline_fusion"), ("kinrec", "graph"), ("kinrec", "paper_refined"),
        ("recent", "popularity"), ("recent_cosine", "item_cosine"), ("text_squares", "text"),
        ("baseline_fusion", "ridge"),
        ("evidence", "evidence_untrained"), ("graph", "item_cosine"), ("graph", "evidence"), ("llm", "graph"),
        ("fusion", "baseline_fusion"), ("fusion", "graph"),
    )  # fmt: skip
    assert {name for pair in COMPARED for name in pair} <= {*SYSTEMS}


def test_only_the_table_and_the_choices_name_a_baseline() -> None:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    users = {str(path.relative_to(ROOT)) for path in paths if named_baselines(path.read_text(encoding="utf-8"))}
    assert users <= MAY_NAME
    assert named_baselines('if name == "ridge":\n    pass') == {"ridge"}


def test_the_table_has_a_row_for_every_name_in_the_reports_order() -> None:
    assert tuple(BASELINE_TABLE) == BASELINES


def test_the_evaluate_stage_writes_the_lists_of_all_but_the_given_systems() -> None:
    assert set(SYSTEMS) - set(JUDGED) == {"graph", "evidence", "evidence_untrained", "encoders", "llm"}
    for stage, names in (("evaluate", JUDGED), ("pretrain", GRAPH_SYSTEMS), ("generate", ("llm",))):
        assert {f"lists/{name}_*.parquet" for name in names} <= set(stage_named(stage).writes)
    assert {*FUSED, *TAUGHT, *GRAPH_PARTS} <= set(WRITER)


def test_every_baseline_is_tried_alone_behind_the_sets() -> None:
    assert baseline_sets(BASELINES) == [*BASELINE_SETS, *((name,) for name in ALONE)]
    assert baseline_sets([*BASELINES, "newest"])[-2:] == [("popularity",), ("newest",)]


class Newest:
    """Items by falling id: a baseline that only this test knows."""

    def __init__(self, items: Items, *, sign: float) -> None:
        self._items, self._sign = items, sign

    def score(self, samples: Samples, domain: int) -> Floats:
        ids = self._items.ids(domain)
        return np.tile(np.array([self._sign * item for item in ids], dtype=np.float32), (len(samples), 1))


def fit_newest(material: Material, *, sign: float) -> Newest:
    return Newest(material.items, sign=sign)


def test_a_class_a_row_and_a_name_make_a_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BASELINE_TABLE, "newest", Baseline(fit_newest, {"sign": (1.0, -1.0)}))
    monkeypatch.setattr(judging, "SYSTEMS", ("newest", *SYSTEMS))
    write_run(tmp_path)
    metrics = evaluate(EvaluationConfig(bootstrap_resamples=100, list_depth=20), run_dir=tmp_path, seed=1)
    assert metrics["chosen"]["baselines"]["newest"]["sign"] in (1.0, -1.0)
    assert "newest" in metrics["splits"]["test"]["systems"]
    assert len(read_lists(tmp_path / "lists" / "newest_test.parquet")) == 50
