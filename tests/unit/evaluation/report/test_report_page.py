"""The report as a page: whole in itself, the same as the Markdown, and no stranger's title does anything to it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluation.report.render_html import render_html
from evaluation.report.report_parts import Heading, Paragraph, Table
from launch.systems import SYSTEM_TABLE
from tests.report_cards import PLOTS, make_card, make_metrics, write_report

HOSTILE = "<script>alert(1)</script> [free](https://evil.example) *b* _i_ `c` |x| $y$ \"'>"


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


@pytest.mark.parametrize(
    ("knowledge", "said"), [("train", "train"), ("refit", "train and valid"), ("rolling", "all until each question")]
)
def test_the_report_says_what_test_is_ranked_with(tmp_path: Path, knowledge: str, said: str) -> None:
    metrics = make_metrics("one")
    report, _ = write_report(make_card(), tmp_path, metrics | {"chosen": metrics["chosen"] | {"knowledge": knowledge}})
    assert f"Test is ranked with what {said} tells." in report


def test_every_row_and_column_of_the_tables_is_explained(tmp_path: Path) -> None:
    metrics = make_metrics("one")
    report, page = write_report(make_card(), tmp_path, metrics)
    for name in metrics["splits"]["test"]["systems"]:
        assert f"| {name} | {SYSTEM_TABLE[name].meaning} |" in report.replace("\\_", "_"), name
    assert "the share of samples whose target is among the first k" in page
    assert all(system.meaning for system in SYSTEM_TABLE.values())


@pytest.mark.parametrize("by_candidates", [False, True])
def test_the_report_says_whether_all_items_are_ranked(tmp_path: Path, by_candidates: bool) -> None:
    metrics = make_metrics("one")
    settings = metrics["settings"] | {"candidate_depth": 300}
    report, _ = write_report(make_card(), tmp_path, metrics | {"by_candidates": by_candidates, "settings": settings})
    assert ("Full ranking over all items" in report) == (not by_candidates)
    assert ("among the 300 best items of each source; a target outside them is a miss" in report) == by_candidates


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
    assert [heading for heading in headings if heading not in shown.texts] == []
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


def test_the_best_of_each_column_stands_out_to_the_digits_shown() -> None:
    table = Table(["system", "hr@1"], [["a", 0.10001], ["b", 0.10004], ["c", 0.09]], higher_is_better=True)
    page = render_html([Heading(1, "t"), Paragraph(("p",)), table], {})
    assert page.count('<td class="best">0.1000</td>') == 2
