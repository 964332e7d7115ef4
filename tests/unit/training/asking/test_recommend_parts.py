"""What `recommend` is made of: titles become items, and the final list is the one that `evaluate` would write."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from evaluation.candidates.choice import pool_of
from evaluation.candidates.pool import Pool
from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.list_ranker.bank import fit_bank
from evaluation.ranked_lists import RankedLists, read_lists, write_lists
from evaluation.systems.baselines import Popularity
from evaluation.systems.mixture import Mixture
from launch.errors import InputError
from launch.tracking import Tracker
from pairs.tables import Items, Pair, load_pair, load_samples, one_sample
from retrieval.grounding import TitleGrounder
from tests.tiny_prompts import write_tiny_run
from training.answers.parts import read_prompts
from training.asking.asking import find_domain, match_history
from training.asking.final_ranking import load_known, rank_finally
from training.asking.new_prompt import open_prompts
from training.prompts.config import PromptsConfig
from training.prompts.kindred import read_neighbours
from training.recommend import Question, open_questions, read_question
from training.tokenize_prompts import tokenize_prompts

TITLES = ["Red paper", "Soft brush: large", "Steel desk", "Red paper", "Stapler"]
PAIR = Pair(
    name="tiny",
    domain_names=("Arts", "Office_Products"),
    items=Items(
        domain=np.array([0, 0, 1, 1, 1], dtype=np.int8),
        source_ids=list("abcde"),
        titles=TITLES,
        attributes=[""] * 5,
        train_count=np.array([1, 1, 1, 7, 1]),
    ),
)
GROUNDER = TitleGrounder(PAIR.items)


@pytest.mark.parametrize(("name", "domain"), [("arts", 0), ("Office_Products", 1), ("office products", 1), ("y", 1)])
def test_a_domain_is_known_by_its_name_in_any_case(name: str, domain: int) -> None:
    assert find_domain(name, PAIR) == domain


def test_an_unknown_domain_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no domain 'music' in the pair tiny; ask for 'Arts' or 'Office_Products'"):
        find_domain("music", PAIR)


def test_titles_are_matched_exactly_or_by_their_words() -> None:
    red, desk = match_history(["red PAPER", "a desk"], PAIR, GROUNDER)
    assert (red.item, red.exact) == (3, True)  # of the two, the one bought more often
    assert (desk.item, desk.title, desk.domain, desk.exact) == (2, "Steel desk", "Office_Products", False)


def test_a_domain_before_the_title_says_where_to_look() -> None:
    (match,) = match_history(["arts: red paper"], PAIR, GROUNDER)
    assert match.item == 0


def test_a_colon_in_a_title_is_part_of_it() -> None:
    (match,) = match_history(["Soft brush: large"], PAIR, GROUNDER)
    assert (match.item, match.exact) == (1, True)


def test_titles_that_match_nothing_are_refused() -> None:
    with pytest.raises(InputError, match=r"'qwerty': no title of either domain shares a word"):
        match_history(["stapler", "qwerty"], PAIR, GROUNDER)
    with pytest.raises(InputError, match=r"no title of Arts shares a word"):
        match_history(["Arts: stapler"], PAIR, GROUNDER)
    with pytest.raises(InputError, match=r"the history is empty"):
        match_history([], PAIR, GROUNDER)


def random_lists(run_dir: Path, system: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair = load_pair(run_dir)
    for split in ("valid", "test"):
        samples = load_samples(run_dir, split)
        items = np.array([rng.permutation(np.array(pair.items.ids(int(domain)))) for domain in samples.domain])
        scores = -np.sort(-rng.random(items.shape), axis=1).astype(np.float32)
        in_domain = [[True, bool(rng.random() < 0.8)] for _ in range(len(samples))]
        extra = {"in_domain": in_domain} if system == "llm" else None
        write_lists(run_dir / f"lists/{system}_{split}.parquet", RankedLists(samples.sample, items, scores), extra)


def test_the_prompt_of_a_known_history_is_the_one_that_tokenize_wrote(tmp_path: Path) -> None:
    write_tiny_run(tmp_path)
    config = PromptsConfig(scratch_vocab=400, max_tokens=140, num_neighbours=2, max_history=6, neighbour_items=3)
    tokenize_prompts(config, run_dir=tmp_path, seed=1, tracker=Tracker(None, "tokenize"))
    pair, train, test = load_pair(tmp_path), load_samples(tmp_path, "train"), load_samples(tmp_path, "test")
    prompts = open_prompts(tmp_path, pair, train, config)
    neighbours = read_neighbours(tmp_path, "test", samples=test, known=train)
    written = read_prompts(tmp_path, "test", max_samples=None, seed=1)
    for row, sample in enumerate(written.sample):
        place = int(test.row_of(np.array([sample]))[0])
        asked = one_sample(test.history_of(place).tolist(), domain=int(test.domain[place]))
        rows = neighbours.matrix(np.array([place]))[0]
        question, num_shown = prompts.write(asked, train.sample[rows].tolist())
        assert [list(prompt) for prompt in question.prompts] == written.prompts(np.array([row]))
        assert num_shown <= config.num_neighbours


@pytest.mark.parametrize("candidates", ["all", "named"])
def test_the_final_list_of_a_known_sample_is_the_one_that_evaluate_wrote(
    tmp_path: Path, candidates: Literal["all", "named"]
) -> None:
    write_tiny_run(tmp_path)
    random_lists(tmp_path, "graph", 1)
    random_lists(tmp_path, "llm", 2)
    config = EvaluationConfig(bootstrap_resamples=100, list_depth=20, candidates=candidates)
    metrics = evaluate(config, run_dir=tmp_path, seed=1)
    chosen = metrics["chosen"]
    items, test = load_pair(tmp_path).items, load_samples(tmp_path, "test")
    mixture = Mixture(chosen["baseline_fusion"]["weights"], chosen["fusion"]["weights"])
    known = load_known(tmp_path, chosen, None)
    assert not known.graphs_anew
    bank = fit_bank(known.samples, items, chosen["baselines"], ridge_max_users=config.ridge_max_users, seed=1)
    written = read_lists(tmp_path / "lists/kinrec_test.parquet").of_samples(test.sample)
    given = {name: read_lists(tmp_path / f"lists/{name}_test.parquet") for name in ("graph", "llm")}
    for row in range(len(test)):
        one = np.array([row])
        asked = {name: lists.of_samples(test.sample[one]) for name, lists in given.items()}
        final = rank_finally(
            test.take(one), items=items, scorers=bank.scorers, mixture=mixture, depth=5, lists=asked,
            pool=pool_of(bank.scorers, asked, items, config),
        )  # fmt: skip
        assert final.items == written.items[row, : len(final.items)].tolist()
        assert final.scores == pytest.approx(written.scores[row, : len(final.items)].tolist())
        assert not set(final.items) & set(test.history_of(row).tolist())
        assert all(set(ranks) <= {*bank.scorers, "graph", "llm"} for ranks in final.ranks)


def test_where_candidates_alone_are_ranked_the_list_is_of_them(tmp_path: Path) -> None:
    write_tiny_run(tmp_path)
    items, train = load_pair(tmp_path).items, load_samples(tmp_path, "train")
    popularity = {"popularity": Popularity(items)}
    sample = one_sample(train.history_of(0).tolist(), domain=1)
    nobody = RankedLists(sample.sample, np.full((1, 1), -1), np.full((1, 1), -np.inf, dtype=np.float32))
    final = rank_finally(
        sample, items=items, scorers=popularity, lists={"graph": nobody, "llm": nobody},
        mixture=Mixture({"popularity": 1.0}, {"baseline_fusion": 1.0}), depth=20, pool=Pool(popularity, {}, 3),
    )  # fmt: skip
    counts = items.train_count[items.ids(1).start :]
    assert set(final.items) <= set((np.lexsort((np.arange(len(counts)), -counts))[:3] + items.ids(1).start).tolist())
    assert final.items
    assert all(ranks["popularity"] <= 3 + len(sample.history) for ranks in final.ranks)


def test_a_line_of_a_file_of_questions_is_read_or_refused_in_one_line() -> None:
    assert read_question('{"domain": "X", "history": ["pen"]}', k=7) == Question("X", ["pen"], 7)
    assert read_question('{"domain": "X", "history": [], "k": 2}', k=7).k == 2
    for line in ("", "[" * 100_000, "[]", '{"domain": "X"}', '{"domain": "X", "history": ["a"], "l": 1}'):
        with pytest.raises(InputError):
            read_question(line, k=7)
    for wrong in ('"domain": 1, "history": ["a"]', '"domain": "X", "history": "a"', '"domain": "X", "history": [1]'):
        with pytest.raises(InputError, match="history a list of texts"):
            read_question(f"{{{wrong}}}", k=7)


@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_a_file_of_questions_that_cannot_be_opened_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"--questions .*; give a file"):
        open_questions(str(tmp_path / name))


def test_bytes_that_are_no_text_are_a_line_that_is_no_question(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b"\xff\xfe\n" + b'{"domain": "X", "history": []}\n')
    with open_questions(str(path)) as file:
        wrong, right = file
    with pytest.raises(InputError, match="not JSON"):
        read_question(wrong, k=1)
    assert read_question(right, k=1) == Question("X", [], 1)
