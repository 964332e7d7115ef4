"""What could be read in two ways, never ends, or is no number is refused by its dotted name before anything starts."""

import os
import re
from pathlib import Path

import pytest

from launch.config import COMMAND_LINE, load_recipe
from launch.errors import InputError


def refusal(tmp_path: Path, text: str, *overrides: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_recipe(path, overrides)
    line = str(refused.value)
    assert "\n" not in line
    where = COMMAND_LINE if overrides else str(path)
    assert line.startswith(f"{where}: ")
    return line.removeprefix(f"{where}: ")


ALIAS_BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nseed: 2\n", "seed is given twice, in lines 1 and 2"),
        ("llm: {lr: 1.0e-3}\nseed: 1\nllm: {epochs: 2}\n", "llm is given twice, in lines 1 and 3"),
        ("llm:\n  lr: 1.0e-3\n  lr: 2.0e-3\n", "llm.lr is given twice, in lines 2 and 3"),
        ("llm: {scratch: {num_layers: 2, num_layers: 3}}", "llm.scratch.num_layers is given twice"),
        ("graph: &g\n  again: *g\n", "no aliases"),
        (ALIAS_BOMB, "no aliases"),
        ("llm: {<<: {lr: 1.0}}", "a key of llm must be a plain word"),
        ("llm: {[lr]: 1.0}", "a key of llm must be a plain word"),
        ("[" * 5000, "nested without end"),
        ("seed: " + "9" * 5000, "not valid YAML"),
        ("graph:\n", "graph is empty"),
        ("launch: null\n", "launch is empty"),
        ("llm: {scratch: null}", "llm.scratch is empty"),
        ("graph: [1, 2]", "graph must hold keys and values, got list"),
        ("llm: {lora: [8]}", "llm.lora must hold keys and values, got list"),
        (
            "retrieval: {index: faiss}",
            "got str; what it said in older recipes, faiss or torch, is retrieval.index.backend",
        ),
        ("llm: {lora: 8}", "llm.lora must hold keys and values, got int"),
        ("llm: {lr: null}", "llm.lr must not be null; it is a number"),
        ("seed: null", "seed must not be null"),
        ("seed: one", "seed must be a whole number, got one"),
        ("llm: {max_steps: few}", "llm.max_steps must be a whole number or null, got few"),
        ("llm: {keep: worst}", "llm.keep must be one of best, last, got worst"),
        ("llm: {hidden_size: 8}", "unknown key llm.hidden_size; did you mean llm.scratch.hidden_size?"),
        ("--- {}\n--- {}\n", "not valid YAML"),
        ("seed: 1\0", "not valid YAML"),
    ],
)
def test_a_text_that_is_no_recipe_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retrieval.weights.model", ".nan"),
        ("retrieval.weights.text", ".inf"),
        ("llm.lr", ".nan"),
        ("llm.lr", "1e999"),
        ("llm.lora.alpha", "-.inf"),
        ("pair.min_rating", ".nan"),
        ("pair.llm_attributes.timeout", "1e999"),
        ("generation.length_penalty", ".nan"),
    ],
)
def test_no_number_is_refused_in_the_file_and_on_the_command_line(tmp_path: Path, name: str, value: str) -> None:
    nested = "".join(f"{part}: {{" for part in name.split(".")[:-1]) + f"{name.split('.')[-1]}: {value}"
    wanted = rf"{re.escape(name)} must be a (finite )?number"
    if "1e999" not in value:  # without a point YAML takes it for text
        assert re.search(wanted, refusal(tmp_path, nested + "}" * name.count(".")))
    assert re.search(wanted, refusal(tmp_path, "seed: 1", f"--{name}={value}"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=-1", "seed must not be negative"),
        (f"seed={2**63}", "seed must be at most 4294967295"),
        ("pair.split_seed=-3", "pair.split_seed must not be negative"),
        ("pair.synthetic.seed=-3", "pair.synthetic.seed must not be negative"),
        ("generation.num_beams=5000", "generation.num_beams must be at most 500"),
        ("retrieval.quality_at=[1, 1000000]", "retrieval.quality_at must be at most 10000"),
        ("llm.scratch.num_layers=100000", "llm.scratch.num_layers must be at most"),
        ("llm.epochs=1e9", "llm.epochs must be at most"),
        ("launch.processes=100000", "launch.processes must be at most"),
        ("llm={lr: 1}", "names a section"),
        ("llm.scratch=null", "names a section"),
        ("llm.epo=3", "unknown key llm.epo; did you mean llm.epochs?"),
        ("llm.lr=null", "llm.lr must be a number, got None"),
        ("name=", "name must be a word"),
    ],
)
def test_a_value_beyond_sense_is_refused_by_name(tmp_path: Path, override: str, said: str) -> None:
    assert said in refusal(tmp_path, "seed: 1", f"--{override}")


def test_a_key_of_older_recipes_is_refused_with_why_it_is_gone(tmp_path: Path) -> None:
    wanted = "unknown key pair.llm_attributes.allow_download: it was removed: KinRec downloads nothing; fetch the model"
    assert wanted in refusal(tmp_path, "pair: {llm_attributes: {allow_download: true}}")
    assert wanted in refusal(tmp_path, "seed: 1", "--pair.llm_attributes.allow_download=false")


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "..", ".", ".hidden", "a\\b", "/tmp/x", "a\nb", "a\x1b[31m", "x" * 300]
)
def test_a_name_that_names_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, "seed: 1", f"--name={name}").startswith("name must ")


@pytest.mark.parametrize("name", ["demo", "art_office-2", "Küche 2", "a.b"])
def test_a_name_that_names_a_folder_is_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 1", encoding="utf-8")
    assert load_recipe(tmp_path / "mine.yaml", [f"--name={name}"]).name == name


def test_a_pipe_or_a_folder_is_no_recipe_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for path in (tmp_path / "pipe.yaml", tmp_path / "folder.yaml", Path("/dev/zero")):
        with pytest.raises(InputError, match="a recipe is a regular file"):
            load_recipe(path)


def test_a_recipe_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long.yaml").write_text("#" * (1 << 21), encoding="utf-8")
    for name in ("loop", "bytes", "long", "a" * 300):
        with pytest.raises(InputError, match=re.escape(str(tmp_path))):
            load_recipe(tmp_path / f"{name}.yaml")
