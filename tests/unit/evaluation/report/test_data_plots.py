"""Plots of a data card: drawn from what is there, the same every time, whole files that say what they show."""

import copy
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evaluation.report.data.plots import draw_data_plots
from evaluation.report.publish import publish_plots
from tests.report_cards import PLOTS, make_card, write_report


@pytest.mark.parametrize(
    ("key", "missing"),
    [
        ("histograms", {"history_lengths", "item_popularity", "interactions_by_month"}),
        ("popularity", {"target_popularity"}),
        ("popularity_drift", {"popularity_drift"}),
        ("filters", {"filters"}),
        ("history_length", set()),
        ("cuts", set()),
        ("domains", set()),
    ],
)
def test_a_plot_is_drawn_from_what_is_there(key: str, missing: set[str]) -> None:
    card = make_card()
    del card[key]
    assert {plot.figure.name for plot in draw_data_plots(card)} == PLOTS - missing


def test_plots_are_whole_svg_files_of_one_size(tmp_path: Path) -> None:
    report, _ = write_report(make_card(), tmp_path)
    files = sorted((tmp_path / "plots").iterdir())
    assert {path.stem for path in files} == PLOTS
    assert set(re.findall(r"\]\((plots/[\w.]+)\)", report)) == {f"plots/{path.name}" for path in files}
    roots = [ElementTree.fromstring(path.read_text()) for path in files]
    assert len({(root.get("width"), root.get("height")) for root in roots}) == 1


def test_plots_of_one_card_are_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    once = {plot.figure.name: plot.svg for plot in draw_data_plots(make_card())}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    again = {plot.figure.name: plot.svg for plot in draw_data_plots(make_card())}
    assert once == again
    assert set(once) == PLOTS
    assert not any("<metadata" in svg for svg in once.values())


def test_plots_say_what_they_show() -> None:
    plots = {plot.figure.name: plot for plot in draw_data_plots(make_card())}
    assert plots["history_lengths"].figure.alt == "Median length: train 16, valid 16, test 16"
    labels = {name: [label.text for label in _texts(plot.svg)] for name, plot in plots.items()}
    assert [label for label in labels["history_lengths"] if label and label[0].isdigit() and "%" not in label] == [
        "2",
        "3–4",
        "5–7",
    ], "the bins that anybody is in, each with both ends"
    assert {"train ends 2014-01-24", "valid ends 2014-04-23", "X: Art"} <= set(labels["interactions_by_month"])
    assert {"80,000", "read", "7,144 users"} <= set(labels["filters"])
    assert "items with a title" not in "".join(label or "" for label in labels["filters"])


def test_pairs_without_times_have_no_plot_over_time() -> None:
    card = make_card()
    card["histograms"]["interactions_by_month"] = None
    assert {plot.figure.name for plot in draw_data_plots(card)} == PLOTS - {"interactions_by_month"}


def test_plots_of_an_earlier_card_go(tmp_path: Path) -> None:
    publish_plots(make_card(), tmp_path)
    publish_plots({key: value for key, value in make_card().items() if key != "histograms"}, tmp_path)
    left = {path.stem for path in (tmp_path / "plots").iterdir()}
    assert left == {"target_popularity", "popularity_drift", "filters"}


def test_a_card_without_numbers_does_not_wait_for_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # importing it raises
    assert draw_data_plots({"pair": "tiny"}) == []


def test_drawing_leaves_the_settings_of_others_alone() -> None:
    import matplotlib

    before = copy.deepcopy(dict(matplotlib.rcParams))
    draw_data_plots(make_card())
    assert dict(matplotlib.rcParams) == before


def _texts(svg: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(svg).findall(".//{http://www.w3.org/2000/svg}text")
