"""The report on the data: what it says of a card, what it leaves out, what it warns of."""

from pathlib import Path

import pytest

from evaluation.report.data.section import data_parts
from evaluation.report.render_markdown import escape, render_markdown
from evaluation.report.report_parts import Code, text
from tests.report_cards import make_card, write_report


def test_the_card_is_told_in_words_and_tables(tmp_path: Path) -> None:
    report, _ = write_report(make_card(), tmp_path)
    section = report.split("## The data\n")[1].split("## Data card")[0]
    assert "- **Users:** 9,577 in all; no user is in two splits; 4,321 more of one domain teach and" in section
    assert "the cuts are 2014-01-24T00:00:00Z and 2014-04-23T00:00:00Z." in section
    assert "interactions from 2000-05-02 on, targets from 2013-05-01 to 2014-07-22." in section
    assert "| items | 18,639 | 19,757 |" in section
    assert "| density in train | 0.0579 % | 0.0452 % |" in section
    assert "| targets never in train | – | 17.6 % | 17.6 % |" in section
    assert (
        "| age of the train data at a target, days: median (tenth, ninth tenth) | – | 90.5 (-2.0, 181.0) | – |"
        in section
    )
    assert "| users with interactions in one domain only | 7 | 8 | 9 |" in section
    assert "cold" not in section
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


def test_without_a_card_the_report_says_so(tmp_path: Path) -> None:
    report, _ = write_report({}, tmp_path)
    assert "There is no data card." in report.split("## The data\n")[1]


def test_a_synthetic_order_is_warned_of(tmp_path: Path) -> None:
    card = {**make_card(), "order": "synthetic"}
    report, page = write_report(card, tmp_path)
    assert "> **Warning.** The order of the histories is synthetic: there are no timestamps" in report
    assert '<p class="warning"><strong>Warning.</strong> The order of the histories is synthetic' in page


def test_ids_that_follow_purchases_are_warned_of_and_shown(tmp_path: Path) -> None:
    report, _ = write_report(make_card(), tmp_path)
    assert "follow the order of purchases: 8.2 % of the targets lie within 3 ids of an item of their own" in report
    assert "| targets whose id is close to one of the history's (by chance) | 8.2 % (0.218 %) |" in report
    card = make_card()
    card["id_closeness"]["ids_follow_purchases"] = False
    drawn, _ = write_report(card, tmp_path)
    assert "follow the order of purchases" not in drawn


def test_markdown_keeps_plain_names_as_they_are() -> None:
    assert escape("item_cosine, hr@10: 5 % (a/b) #1") == "item_cosine, hr@10: 5 % (a/b) #1"
    assert escape("www.evil.example") == "www\\.evil.example"
    assert render_markdown([text("see ", Code("a`b"))]) == "see a\\`b\n"
