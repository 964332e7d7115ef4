"""How a local model is asked and where its answer ends: chat templates, special tokens, its own settings."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing

from launch.errors import InputError
from pairs.attributes.local_model import open_local_model
from tests.taught_model import CHAT, EXPECTED, ITEMS, add, config, copied, lines, write_taught_model
from training.scratch import PAD


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    write_taught_model(path)
    return path


def test_chat_template_is_used_where_there_is_one_and_thinking_is_off(folder: Path, tmp_path: Path) -> None:
    path = copied(folder, tmp_path)
    (path / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    attributes, facts = add(config(path, tmp_path))
    assert attributes == ["by the template"] * len(ITEMS)
    assert facts["answered"] == len(ITEMS)


def test_begin_token_is_not_doubled_by_a_chat_template(folder: Path, tmp_path: Path) -> None:
    source = open_local_model(config(folder, tmp_path))
    begin = TemplateProcessing(single=f"{PAD} $A", special_tokens=[(PAD, 0)])
    source.tokenizer.backend_tokenizer.post_processor = begin
    assert source._tokens("Cup").count(0) == 1
    source.tokenizer.chat_template = PAD + CHAT
    assert source._tokens("Cup").count(0) == 1


def test_chat_template_that_fails_is_refused(folder: Path, tmp_path: Path) -> None:
    path = copied(folder, tmp_path)
    (path / "chat_template.jinja").write_text("{{ raise_exception('needs a system message') }}", encoding="utf-8")
    with pytest.raises(InputError, match=r"its chat template fails \(needs a system message\); mend it"):
        add(config(path, tmp_path))


def test_chat_template_without_end_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copied(folder, tmp_path)
    loops = "".join(f"{{% for {name} in range(99999) %}}" for name in "abc") + "{% endfor %}" * 3
    (path / "chat_template.jinja").write_text(loops, encoding="utf-8")
    monkeypatch.setattr("pairs.attributes.local_model.TEMPLATE_SECONDS", 2.0)
    with pytest.raises(InputError, match=r"its chat template does not come to an end within 2 seconds"):
        add(config(path, tmp_path))


def test_models_own_way_of_generating_is_not_used(folder: Path, tmp_path: Path) -> None:
    path = copied(folder, tmp_path)
    own = json.loads((path / "generation_config.json").read_text(encoding="utf-8"))
    own |= {"do_sample": True, "temperature": 9.0, "repetition_penalty": 9.0, "max_length": 3, "num_beams": 2}
    own |= {"eos_token_id": 383}  # one that no answer has: the tokenizer's counts too
    (path / "generation_config.json").write_text(json.dumps(own), encoding="utf-8")
    assert open_local_model(config(path, tmp_path)).model.generation_config.eos_token_id == [383, 1]
    assert add(config(path, tmp_path))[0] == EXPECTED
    assert [row["raw"] for row in lines(tmp_path) if "raw" in row] == ["Sorry."]


def test_model_without_an_end_token_answers_until_it_may_not(folder: Path, tmp_path: Path) -> None:
    path = copied(folder, tmp_path)
    for name in ("generation_config.json", "config.json", "tokenizer_config.json"):
        own = json.loads((path / name).read_text(encoding="utf-8"))
        kept = {key: value for key, value in own.items() if not key.startswith("eos_token")}
        (path / name).write_text(json.dumps(kept), encoding="utf-8")
    attributes, _ = add(config(path, tmp_path))
    assert attributes == EXPECTED


def test_plain_answer_ends_with_its_list(folder: Path, tmp_path: Path) -> None:
    source = open_local_model(config(folder, tmp_path))
    goes_on = source.tokenizer('["a [b]"]\nCup: ["c"]')["input_ids"]
    assert source._text(goes_on, []) == '["a [b]"]'
    chatting = replace(source, tokenizer=open_local_model(config(folder, tmp_path)).tokenizer)
    chatting.tokenizer.chat_template = CHAT
    assert chatting._text(goes_on, []) == '["a [b]"]\nCup: ["c"]'
