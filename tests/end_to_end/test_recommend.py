"""`kinrec recommend` on a finished run: titles in, a ranked list of the asked domain out; mistakes end in one line."""

import json
import shutil
from pathlib import Path

import pytest

from launch.errors import InputError
from launch.state.kept import FOLDER
from pairs.tables import Pair, load_pair
from tests.end_to_end.runs import kinrec
from tests.tiny_generation import ALONE
from training.asking.recommender import Recommendation, Recommender
from training.recommend import as_json, recommend, render


@pytest.fixture(scope="module")
def pair(tiny_run: Path) -> Pair:
    return load_pair(tiny_run)


def ask(run_dir: Path, *history: str, domain: str = "Kitchen", k: int = 5) -> Recommendation:
    return recommend(run_dir, domain=domain, history=list(history), k=k, world=ALONE)


@pytest.mark.slow
def test_the_command_recommends_titles_of_the_asked_domain(tiny_run: Path, pair: Pair) -> None:
    bought = [pair.items.titles[3], pair.items.titles[5]]
    ended = kinrec("recommend", str(tiny_run), "--domain", "kitchen", "--history", *bought, "--k", "7", "--json")
    assert ended.returncode == 0, ended.stderr[-2000:]
    answer = json.loads(ended.stdout)
    assert answer["domain"] == "Kitchen"
    assert [match["item"] for match in answer["history"]] == [3, 5]
    items = [line["item"] for line in answer["items"]]
    assert len(set(items)) == 7
    assert set(items) <= set(pair.items.ids(1))
    assert [line["rank"] for line in answer["items"]] == list(range(1, 8))
    assert [line["title"] for line in answer["items"]] == [pair.items.titles[item] for item in items]
    scores = [line["score"] for line in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["kindred"][0]["bought"]


@pytest.mark.slow
def test_own_items_are_never_recommended_and_one_item_is_enough(tiny_run: Path, pair: Pair) -> None:
    first = ask(tiny_run, pair.items.titles[90], k=80)
    assert 90 not in {line.item for line in first.items}
    assert {line.item for line in first.items} == set(pair.items.ids(1)) - {90}


@pytest.mark.slow
def test_the_list_depends_on_the_history_and_shows_who_was_asked(tiny_run: Path, pair: Pair) -> None:
    one, other = ask(tiny_run, pair.items.titles[3]), ask(tiny_run, "Kitchen: " + pair.items.titles[100])
    assert [line.item for line in one.items] != [line.item for line in other.items]
    text = render(one)
    assert pair.items.titles[3] in text
    assert f"kindred user {one.kindred[0].user}" in text
    assert all(line.title in text for line in one.items)


@pytest.mark.slow
def test_what_the_run_keeps_changes_no_answer(tiny_run: Path, pair: Pair, tmp_path: Path) -> None:
    run_dir = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns(FOLDER))
    history = [pair.items.titles[3], pair.items.titles[100]]
    first = ask(run_dir, *history, k=9)
    written = {path.name: path.read_bytes() for path in (run_dir / FOLDER).glob("*.safetensors")}
    assert {"graph_words.safetensors", "prompt_pieces.safetensors", "title_words.safetensors"} <= written.keys()

    moved = run_dir.rename(tmp_path / "moved")
    assert ask(moved, *history, k=9) == first
    assert {path.name: path.read_bytes() for path in (moved / FOLDER).glob("*.safetensors")} == written

    for name, data in written.items():
        (moved / FOLDER / name).write_bytes(data[: len(data) // 2])
    assert ask(moved, *history, k=9) == first
    assert {path.name: path.read_bytes() for path in (moved / FOLDER).glob("*.safetensors")} == written

    shutil.rmtree(moved / FOLDER)
    (moved / FOLDER).write_text("where nothing can be written")
    assert ask(moved, *history, k=9) == first


@pytest.mark.slow
def test_a_run_is_opened_once_and_asked_many_times(tiny_run: Path, pair: Pair) -> None:
    opened = Recommender.open(tiny_run, world=ALONE)
    for item, domain in ((3, "Kitchen"), (100, "Food"), (3, "Kitchen")):
        title = pair.items.titles[item]
        assert opened.ask([title], domain=domain, k=5) == ask(tiny_run, title, domain=domain)


@pytest.mark.slow
def test_mistakes_are_told_in_one_line(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no domain 'Music' in the pair .*; ask for 'Food' or 'Kitchen'"):
        ask(tiny_run, "coffee", domain="Music")
    with pytest.raises(InputError, match=r"the history is empty"):
        ask(tiny_run)
    with pytest.raises(InputError, match=r"'qqzz': no title of either domain shares a word"):
        ask(tiny_run, "coffee", "qqzz")
    with pytest.raises(InputError, match=r"--k must be at least 1 and at most 100000, got 0"):
        ask(tiny_run, "coffee", k=0)
    (tmp_path / "recipe.yaml").write_text((tiny_run / "recipe.yaml").read_text())
    with pytest.raises(InputError, match=rf"prepare has not finished; run `kinrec run {tmp_path}/recipe\.yaml` first"):
        ask(tmp_path, "coffee")
    ended = kinrec("recommend", str(tmp_path / "nothing"), "--domain", "Food", "--history", "coffee")
    assert ended.returncode == 2
    assert "not the folder of a run" in ended.stderr.splitlines()[-1]
    assert ended.stdout == ""


@pytest.mark.slow
def test_many_questions_are_answered_line_by_line(tiny_run: Path, pair: Pair, tmp_path: Path) -> None:
    one: dict[str, object] = {"domain": "Kitchen", "history": [pair.items.titles[3]], "k": 4}
    asked = [one, {"domain": "Music", "history": ["a"]}, one | {"k": "4"}, one]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(question) + "\n" for question in asked))
    ended = kinrec("recommend", str(tiny_run), "--questions", str(file))
    first, second, third, fourth = (json.loads(line) for line in ended.stdout.splitlines())
    assert first == fourth == json.loads(as_json(ask(tiny_run, pair.items.titles[3], k=4)))
    assert second["error"].startswith("line 2: no domain 'Music'")
    assert third["error"] == "line 3: domain is a text, history a list of texts, k a whole number"
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith("2 of the questions could not be answered; their lines say why")
