"""The answers of a language model: what can be read in them, the file that keeps them, the items that take them."""

import ast
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from launch.errors import InputError
from pairs.attributes.answers_file import parse_answer, read_answers
from pairs.attributes.replace import add_llm_attributes, hash_title
from pairs.attributes_config import LlmAttributesConfig
from pairs.reading.text import attribute_words
from tests.attribute_items import ITEMS, NAMES, REAL
from tests.fifos import fifo_at


def add(settings: LlmAttributesConfig) -> tuple[list[str], dict[str, Any]]:
    items, facts = add_llm_attributes(ITEMS, NAMES, settings, max_bad_share=0.0, numbered=False)
    return items["attributes"].to_list(), facts


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ('["a", " b "]', ["a", "b"]),
        ('```json\n["a"]\n```', ["a"]),
        ("[]", []),
        ('["a", 5]', None),
        ('["a", "b"', None),
        ("[a, b]", None),
        ("[" * 100_000 + "]" * 100_000, None),
        ("Sorry.", None),
    ],
)
def test_answer_is_one_list_of_texts_or_bad(text: str, attributes: list[str] | None) -> None:
    assert parse_answer(text) == attributes


@pytest.mark.skipif(not REAL.is_file(), reason=f"the real answers are not at {REAL}")
def test_real_answers_are_read_with_their_five_bad_ones() -> None:
    settings = LlmAttributesConfig(source="answers", answers=str(REAL))
    answers = read_answers(REAL, settings, max_bad_share=0.0).by_item
    assert (len(answers), sum(answer is None for answer in answers.values())) == (38_396, 5)
    raws = [json.loads(line) for line in gzip.decompress(REAL.read_bytes()).splitlines() if b'"raw"' in line]
    assert [parse_answer(row["raw"]) for row in raws] == [None] * 5
    items = pl.DataFrame({"item": range(38_396), "domain": 0, "title": "t", "attributes": "of the catalogue"})
    chosen, facts = add_llm_attributes(items, NAMES, settings, max_bad_share=0.0, numbered=True)
    assert (facts["answered"], facts["empty"], facts["bad"], facts["missing"]) == (38_387, 4, 5, 0)
    assert chosen["attributes"][0] == "arts crafts sewing picture framing supplies"
    assert chosen["attributes"][4015] == "of the catalogue"
    with pytest.raises(InputError, match="fit a released pair only"):
        add_llm_attributes(items, NAMES, settings, max_bad_share=0.0, numbered=False)


def test_answers_of_another_run_are_used_by_title(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"title_hash": hash_title("tea", "Green Tea"), "model": "any", "attributes": ["Leaf"]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    attributes, facts = add(LlmAttributesConfig(source="answers", answers=str(path)))
    assert attributes == ["leaf", "leaf", "more words", "odd words"]
    assert facts["missing"] == 2


def test_line_that_a_killed_run_left_without_an_end_is_left_out_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    row = {"title_hash": hash_title("tea", "Green Tea"), "attributes": ["Leaf"]}
    path.write_text(json.dumps(row) + '\n{"title_hash": "ab", "attri', encoding="utf-8")
    settings = LlmAttributesConfig(source="answers", answers=str(path))
    assert add(settings)[1]["answered"] == 2
    assert "line 2 has no end" in caplog.text
    path.write_text('[{"title_hash": "ab", "attributes": []}]', encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.jsonl: line 1: is not a JSON object"):
        add(settings)


@pytest.mark.parametrize("text", ["{}", '{"item": 1}', '{"attributes": ["a"]}', "rubbish"])
def test_file_of_other_things_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.jsonl: line 1: "):
        add(LlmAttributesConfig(source="answers", answers=str(tmp_path / "a.jsonl")))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"source": "endpoint"}, "pair.llm_attributes.answers must be given with source=endpoint"),
        ({"source": "endpoint", "answers": "a", "model": "m", "endpoint": "host:1"}, "endpoint must be an http"),
        (
            {"source": "endpoint", "answers": "a.gz", "model": "m", "endpoint": "http://h"},
            "must be a plain file to grow",
        ),
        ({"source": "endpoint", "answers": "a", "model": "m", "endpoint": "http://u:secret@h"}, "there is key_env"),
        (
            {"source": "endpoint", "answers": "a", "model": "m", "endpoint": "http://h/v1?key=secret"},
            "there is key_env",
        ),
        ({"source": "local", "model": "m"}, "pair.llm_attributes.answers must be given with source=local"),
        ({"source": "local", "answers": "a"}, "pair.llm_attributes.model must be given with source=local"),
        ({"source": "local", "answers": "a.zst", "model": "m"}, "must be a plain file to grow"),
        ({"source": "local", "answers": "a", "model": "m", "prompt": "?"}, "prompt must contain {title}"),
        ({"batch_size": 0}, "pair.llm_attributes.batch_size must be positive"),
        ({"concurrency": 0}, "pair.llm_attributes.concurrency must be positive"),
        ({"retries": -1}, "pair.llm_attributes.retries must not be negative"),
    ],
)
def test_wrong_setting_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=r"pair\.llm_attributes") as refusal:
        LlmAttributesConfig(**wrong)
    assert named in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_attributes_of_an_answer_are_words_as_the_catalogue_has_them() -> None:
    frame = pl.DataFrame({"llm": [["Arts & Crafts", "arts"]]})
    assert frame.select(attribute_words("llm")).item() == "arts crafts"


def test_only_a_local_model_loads_torch() -> None:
    heavy = {"torch", "transformers", "safetensors", "pairs.attributes.local_model"}
    for path in sorted(Path(__file__).parents[4].joinpath("pairs").glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body  # imports inside functions may be heavy
        names = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}
        assert path.name == "local_lm.py" or not names & heavy, path


def test_fifo_and_folder_as_the_file_of_answers_are_refused(tmp_path: Path) -> None:
    settings = LlmAttributesConfig(source="answers", answers=str(tmp_path / "pipe"))
    with fifo_at(tmp_path / "pipe"), pytest.raises(InputError, match="pipe: is a FIFO and no file"):
        add(settings)
    asking = LlmAttributesConfig(source="endpoint", endpoint="http://localhost:9/v1", answers=str(tmp_path), model="m")
    with pytest.raises(InputError, match="is a folder and no file"):
        add(asking)


def test_hash_of_a_title_is_what_it_was() -> None:
    assert hash_title("tea", "Green Tea") == "29709faaf8ca2443cc88ea030a0e168e"
