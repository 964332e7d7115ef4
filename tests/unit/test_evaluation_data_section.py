"""The report on the data: what it says of a card, what it leaves out, what a stranger's title cannot do to it."""

import copy
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from evaluation.data_plots import draw_data_plots
from evaluation.data_section import data_parts
from evaluation.publish import publish_plots, publish_report
from evaluation.render_html import render_html
from evaluation.render_markdown import escape, render_markdown
from evaluation.report_parts import Code, Heading, Paragraph, Table, text

Json = dict[str, Any]  # Any: plain JSON values
HOSTILE = "<script>alert(1)</script> [free](https://evil.example) *b* _i_ `c` |x| $y$ \"'>"
SPLITS = ("train", "valid", "test")
PLOTS = {
    "history_lengths",
    "item_popularity",
    "interactions_by_month",
    "target_popularity",
    "popularity_drift",
    "filters",
}


def make_card() -> Json:
    """A card that holds everything."""
    counts = {split: {"all": 1200 * n, "X": 700 * n, "Y": 500 * n} for n, split in enumerate(SPLITS, 1)}
    seen = {"items_seen": 0.5, "items_asked": 0.25, "users": 0.75}
    return {
        "pair": "Art-Office",
        "domains": ["Art", "Office"],
        "source": "amazon",
        "split_rule": "time",
        "cuts": ["2014-01-24T00:00:00Z", "2014-04-23T00:00:00Z"],
        "audit": {
            "target_in_history": {"found": 139, "example": "the first: sample 117 of user 58", "allowed": True},
            "identical_histories": {"found": 2, "example": "the first: sample 9 of user 8"},
            "history_later_than_target": {"found": None},
            "held_out_in_train": {"found": 0},
        },
        "reading": {
            "bad_rows": 7,
            "files": [{"file": "reviews_Art.jsonl.gz", "rows": 76212, "bad": {"no rating": 7}}],
            "titles_cut": {"X": 3, "Y": 0},
        },
        "filters": {
            "read": {"X": 80000, "Y": 90000, "users": 7144, "users_of_both": 7140},
            "titled_items": {"X": 7601, "Y": 15756},
            "kept": {"X": 60671, "Y": 67075, "users": 7109, "users_of_both": 7109},
        },
        "order": "chronological",
        "order_evidence": {"timestamps": True, "fully_alternating_histories": 0.2},
        "items": {"X": 18639, "Y": 19757},
        "duplicate_titles": {"X": 73, "Y": 108},
        "near_duplicate_titles": {
            letter: {
                "same_words": 12,
                "same_words_but_numbers": 596,
                "examples": [["gel pen 2", "gel pen 4"]],
                "longest": 436,
            }
            for letter in "XY"
        },
        "users": {"all": 9577, "train": 8000, "valid": 577, "test": 1000, "disjoint": True},
        "samples": counts,
        "interactions": counts,
        "density": {"X": 0.0005787, "Y": 0.0004525},
        "history_length": {split: {"mean": 17.88, "median": 16.0, "max": 28} for split in SPLITS},
        "time_range": {
            split: {
                "targets": ["2013-05-01T00:00:00Z", "2014-07-22T00:00:00Z"],
                "histories_from": "2000-05-02T00:00:00Z",
            }
            for split in SPLITS
        },
        "cold_targets": {split: {"all": 0.1764, "X": 0.1, "Y": 0.2} for split in ("valid", "test")},
        "twins": dict.fromkeys(SPLITS, 0.15),
        "popularity": {
            "items": {letter: {"median": 3.0, "p99": 36.5, "max": 247, "gini": 0.55} for letter in "XY"},
            "targets": {
                split: {
                    "median_train_count": 7.0,
                    "by_train_count": {"0": 0.1, "1-2": 0.2, "3-9": 0.3, "10-99": 0.35, "100+": 0.05},
                }
                for split in SPLITS
            },
        },
        "popularity_drift": {
            split: {"X": {"distance": 0.897, "by_chance": 0.8324}, "Y": {"distance": None, "by_chance": None}}
            for split in ("valid", "test")
        },
        "coverage": {split: {"X": seen, "Y": seen} for split in SPLITS},
        "repeats": {split: {"in_history": 0.0077, "targets": 0.0073} for split in SPLITS},
        "histograms": {
            "history_length": {
                "bins": [1, 2, 3, 5, 8],
                "train": [0, 5, 9, 4, 0],
                "valid": [0, 2, 3, 1, 0],
                "test": [0, 0, 3, 2, 0],
            },
            "item_popularity": {letter: {"rank": [1, 10, 100], "count": [247, 40, 0]} for letter in "XY"},
            "interactions_by_month": {"months": ["2013-11", "2014-01", "2014-06"], "X": [5, 9, 2], "Y": [1, 1500, 3]},
        },
    }


def make_metrics(pair: str = "Art-Office") -> Json:
    """The least that a report can be made of."""
    system = dict.fromkeys(("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr@20", "mrr"), 0.5)
    table = {"popularity": {"all": {**system, "ci95": {"hr@10": [0.4, 0.6], "mrr": [0.3, 0.7]}}}}
    split = {
        "num_samples": 2,
        "num_users": 1,
        "slices": {"all": 2},
        "systems": table,
        "paired": {},
        "ceilings": {"all": {"target_in_train": 1.0}},
        "other_filter": {"systems": table},
    }
    fusion = {"weights": {"ridge": 1.0}, "num_candidates": 2, "below_parts": False}
    return {
        "pair": pair,
        "domains": ["Art", "Office"],
        "settings": {"filter_history": True, "bootstrap_resamples": 100, "selection_metric": "hr@10"},
        "splits": {"test": split},
        "retrieval": {"test": {"hit_rate": 0.25}},
        "out_of_domain": {"kinrec": {"test": 0.0}},
        "chosen": {
            "baselines": {"text": {"decay": 0.8}},
            "ridge_users": {"used": 1, "all": 1},
            "baseline_fusion": fusion,
            "kinrec": fusion,
        },
        "timing": {"stages": {"pretrain": 193.0}, "evaluate": {"judge": 10.5}, "tune_baselines": {"ridge": 9.9}},
    }


def write_report(card: Json, folder: Path, metrics: Json | None = None) -> tuple[str, str]:
    """`report.md` and `report.html` of a card."""
    publish_report(metrics or make_metrics(), card, publish_plots(card, folder), folder)
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and whether each is closed in its turn."""

    VOID = frozenset({"meta"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_card_is_told_in_words_and_tables(tmp_path: Path) -> None:
    report, _ = write_report(make_card(), tmp_path)
    section = report.split("## The data\n")[1].split("## Data card")[0]
    assert "- **Users:** 9,577 in all; no user is in two splits." in section
    assert "the cuts are 2014-01-24T00:00:00Z and 2014-04-23T00:00:00Z." in section
    assert "interactions from 2000-05-02 on, targets from 2013-05-01 to 2014-07-22." in section
    assert "| items | 18,639 | 19,757 |" in section
    assert "| density in train | 0.0579 % | 0.0452 % |" in section
    assert "| cold targets: never in train | – | 17.6 % | 17.6 % |" in section
    assert "| drift of X's targets (by chance) | – | 0.897 (0.832) | 0.897 (0.832) |" in section
    assert (
        "- targets that are in their own history: **139** (the first: sample 117 of user 58; the recipe allows it)"
        in section
    )
    assert "sample 9 of user 8; no more than by chance)" in section
    assert "76,212 rows were read, 7 were left out; files: 1." in section
    assert "| reviews_Art.jsonl.gz | 76,212 | 7 | no rating |" in section
    assert "| enough per user and item | 60,671 | 67,075 | 7,109 | 7,109 |" in section
    assert "- Art: “gel pen 2” / “gel pen 4”" in section


def test_what_a_card_lacks_is_left_out(tmp_path: Path) -> None:
    report, page = write_report({"pair": "old", "domains": ["Art", "Office"], "order": "chronological"}, tmp_path)
    section = report.split("## The data\n")[1].split("## Data card")[0]
    assert section.strip() == ""
    assert "<figure" not in page
    assert list((tmp_path / "plots").iterdir()) == []


@pytest.mark.parametrize("key", sorted(make_card()))
def test_any_one_value_may_be_missing(key: str) -> None:
    card = make_card()
    del card[key]
    section = render_markdown(data_parts(card, []))
    assert len(section) > 2000
    assert "None" not in section


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


def test_without_a_card_the_report_says_so(tmp_path: Path) -> None:
    report, _ = write_report({}, tmp_path)
    assert "There is no data card." in report.split("## The data\n")[1]


def test_a_synthetic_order_is_warned_of(tmp_path: Path) -> None:
    card = {**make_card(), "order": "synthetic"}
    report, page = write_report(card, tmp_path)
    assert "> **Warning.** The order of the histories is synthetic: there are no timestamps" in report
    assert '<p class="warning"><strong>Warning.</strong> The order of the histories is synthetic' in page


def test_a_strangers_title_means_only_itself(tmp_path: Path) -> None:
    card = make_card()
    card["pair"] = HOSTILE
    card["domains"] = [HOSTILE, "Office"]
    card["near_duplicate_titles"]["X"]["examples"] = [[HOSTILE, HOSTILE + "2"]]
    card["reading"]["files"][0]["bad"] = {HOSTILE: 7}
    card["filters"]["a_step_" + HOSTILE] = card["filters"]["kept"]
    report, page = write_report(card, tmp_path, make_metrics(HOSTILE) | {"domains": [HOSTILE, "Office"]})
    for told in (report, page, *((tmp_path / "plots" / f"{name}.svg").read_text() for name in PLOTS)):
        assert "<script" not in told
    for raw in ("[free](", "https://", "*b*", " _i_ ", "`c`", "|x|", "$y$"):
        assert raw not in report, raw
    tables = [line for line in report.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == line.count(" | ") + 2 for line in tables)
    shown = Page(page)
    assert "script" not in shown.tags
    assert any(HOSTILE in told for told in shown.texts), "it is there to be read"


def test_markdown_keeps_plain_names_as_they_are() -> None:
    assert escape("item_cosine, hr@10: 5 % (a/b) #1") == "item_cosine, hr@10: 5 % (a/b) #1"
    assert escape("www.evil.example") == "www\\.evil.example"
    assert render_markdown([text("see ", Code("a`b"))]) == "see a\\`b\n"


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    _, page = write_report(make_card(), tmp_path)
    shown = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(shown.tags)
    links = [value for name, value in shown.attributes if name in {"href", "xlink:href", "src"}]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not [value for name, value in shown.attributes if name.startswith("on")]
    assert not re.search(r"url\((?!#)|@import", page)
    assert "prefers-color-scheme: dark" in page


def test_the_page_says_what_the_markdown_says(tmp_path: Path) -> None:
    report, page = write_report(make_card(), tmp_path)
    shown = Page(page)
    rows = [line for line in report.splitlines() if line.startswith("|") and not line.startswith("| --- |")]
    timing = 1 + 3
    assert shown.tags.count("tr") == len(rows) + timing
    headings = re.findall(r"^#+ (.*)$", report, re.MULTILINE)
    assert [found for found in headings if found not in shown.texts] == []
    assert "0.4000 to 0.6000" in shown.texts
    assert "Timing" in shown.texts
    assert "Timing" not in report


def test_names_inside_the_page_are_unique_and_known(tmp_path: Path) -> None:
    _, page = write_report(make_card(), tmp_path)
    attributes = Page(page).attributes
    names = [value for name, value in attributes if name == "id"]
    assert len(names) == len(set(names))
    used = {value[1:] for name, value in attributes if name in {"href", "xlink:href"}}
    assert used | set(re.findall(r"url\(#([\w-]+)\)", page)) <= set(names)


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
    labels = {name: [found.text for found in _texts(plot.svg)] for name, plot in plots.items()}
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


def test_the_best_of_each_column_stands_out_to_the_digits_shown() -> None:
    table = Table(["system", "hr@1"], [["a", 0.10001], ["b", 0.10004], ["c", 0.09]], higher_is_better=True)
    page = render_html([Heading(1, "t"), Paragraph(("p",)), table], {})
    assert page.count('<td class="best">0.1000</td>') == 2


def _texts(svg: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(svg).findall(".//{http://www.w3.org/2000/svg}text")
