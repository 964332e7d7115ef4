"""What strangers named and models wrote reaches a terminal as text: nothing moves the cursor or turns the line."""

import logging
from pathlib import Path

import pytest

from launch.artifacts import write_json, write_text
from launch.stage import configure_logging, report_error
from launch.stages import STAGES
from launch.state.manifests import make_intent, started_path
from launch.state.starts import finish
from launch.status.status import render_status
from launch.summary import render_summary
from launch.terminal import shown, shown_lines
from training.asking.asking import Matched
from training.asking.recommender import Kindred, Recommendation, Recommended
from training.recommend import render

CLEAR = "\x1b[2J\x1b[1;1H"
HOSTILE = f"Art{CLEAR}\x07\u202eecneics\u2066\x9b31m\r\n forged line"
ESCAPED = r"Art\x1b[2J\x1b[1;1H\x07\u202eecneics\u2066\x9b31m\r\n forged line"


def assert_harmless(text: str) -> None:
    assert all(letter.isprintable() or letter == "\n" for letter in text), ascii(text)
    assert ESCAPED in text


@pytest.mark.parametrize(
    "text",
    ["Crème brûlée 6\u00a0cm", "手帳 \U0001f58d\ufe0f", "کتاب\u200cها", "\U0001f468\u200d\U0001f469", "a\\x1b", ""],
)
def test_what_people_write_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (HOSTILE, ESCAPED),
        ("\ttab\n", r"\ttab\n"),
        ("\u200eleft\u2028line\u061c", r"\u200eleft\u2028line\u061c"),
        ("half \ud83d", r"half \ud83d"),
        ("\x7f\x00", r"\x7f\x00"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_no_text_is_shown_escaped(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_lines_of_ours_stay_lines() -> None:
    assert shown_lines("one\ntwo\x1b\r\n") == "one\ntwo\\x1b\\r\n"


@pytest.fixture
def _logging_as_before() -> object:
    before = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = before


@pytest.mark.usefixtures("_logging_as_before")
def test_a_log_record_is_one_harmless_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("training.generate").info("the model wrote %s", HOSTILE)
    seen = capfd.readouterr().err
    assert_harmless(seen)
    assert seen.count("\n") == 1


@pytest.mark.usefixtures("_logging_as_before")
def test_a_traceback_in_the_log_keeps_its_lines(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    try:
        raise ValueError(f"odd{CLEAR}")
    except ValueError:
        logging.getLogger("x").exception("failed")
    seen = capfd.readouterr().err
    assert "\x1b" not in seen
    assert seen.splitlines()[1].startswith("Traceback")


def test_an_error_line_is_harmless(capfd: pytest.CaptureFixture[str]) -> None:
    report_error(f"no domain {HOSTILE}")
    assert_harmless(capfd.readouterr().err)


def write_report(run_dir: Path) -> None:
    numbers = dict.fromkeys(("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr"), 0.5)
    system = {"all": {**numbers, "ci95": {"hr@10": [0.4, 0.6]}}}
    splits = {name: {"num_samples": 3, "systems": {"kinrec": system, HOSTILE: system}} for name in ("valid", "test")}
    write_json(run_dir / "report" / "metrics.json", {"pair": HOSTILE, "splits": splits})


def test_the_summary_is_harmless(tmp_path: Path) -> None:
    write_report(tmp_path)
    assert_harmless(render_summary(tmp_path))


def test_the_status_is_harmless(tmp_path: Path) -> None:
    write_report(tmp_path)
    write_text(tmp_path / "recipe.yaml", "seed: 0\n" + "".join(f"{stage.section}: {{}}\n" for stage in STAGES))
    for stage in STAGES:
        intent = make_intent(tmp_path, stage, config={}, seed=0)
        started_path(tmp_path, stage).parent.mkdir(exist_ok=True)
        finish(tmp_path, stage, intent, external=[], facts={"seconds": 1.0, "world_size": 1})
    assert_harmless(render_status(tmp_path))


def test_a_recommendation_is_harmless() -> None:
    recommendation = Recommendation(
        domain=HOSTILE,
        history=[Matched(asked=HOSTILE, item=0, title=HOSTILE, domain=HOSTILE, exact=False)],
        kindred=[Kindred(user=1, similarity=0.5, bought=[HOSTILE], shared=[])],
        written=[HOSTILE],
        items=[Recommended(rank=1, item=2, title=HOSTILE, score=0.1, ranks={"graph": 1})],
    )
    seen = render(recommendation)
    assert_harmless(seen)
    assert seen.count(ESCAPED) == 7
    assert not any(line.startswith(" forged line") for line in seen.splitlines())
