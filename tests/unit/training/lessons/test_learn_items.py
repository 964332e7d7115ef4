"""`llm.learn: items`: lines of items but for a prompt's first, and the answer; nothing of what every prompt repeats."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from launch.errors import InputError
from pairs.tables import Split
from tests.tiny_prompts import CONFIG, write_tokenized_run
from training.base_model import load_tokenizer_folder
from training.config import Learn, LlmConfig, ScratchConfig
from training.lessons.batches import IGNORED, PromptData, collate, learn_items, read_prompts
from training.lessons.list_data import ListData, read_lists_to_learn
from training.ranking.candidates import holds_target, read_candidates
from training.scratch import build_model
from training.tuning.losses import learnt_loss


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_tokenized_run(folder, CONFIG)
    return folder


@pytest.fixture(scope="module")
def tokenizer(run_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer_folder(run_dir / "prompts" / "tokenizer")


@pytest.fixture(scope="module")
def data(run_dir: Path) -> PromptData:
    return learn_items(read_prompts(run_dir, "train", items=True))


def item_text(prompt: str, answer: str) -> str:
    """By its words: lines of a domain and a title, all but the first, then the answer."""
    lines = [line + "\n" for line in prompt.split("\n") if line.startswith(("Art: ", "Office Products: "))]
    return "".join(lines[1:]) + answer


def test_what_is_learnt_are_items_as_they_read(data: PromptData, tokenizer: PreTrainedTokenizerBase) -> None:
    batch = collate(data, np.arange(len(data)), pad=0)
    for row in range(len(data)):
        table = data.dataset[row]
        prompt, answer = (
            tokenizer.decode(part)
            for part in (table["input_ids"][: table["prompt_length"]], table["input_ids"][table["prompt_length"] :])
        )
        labels = batch.labels[row][batch.labels[row] != IGNORED]
        assert tokenizer.decode(labels) == item_text(str(prompt), str(answer))
        assert len(labels) == data.learnt_lengths[row]


@torch.no_grad()
def test_the_loss_is_the_sum_over_these_tokens(data: PromptData, tokenizer: PreTrainedTokenizerBase) -> None:
    size = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2)
    model = build_model(size, vocab_size=len(tokenizer), eos=1, pad=0, max_tokens=200, seed=3, dtype=torch.float32)
    slow = 0.0
    for row in range(3):
        table = data.dataset[row]
        ids = torch.tensor(table["input_ids"])
        logits = model(input_ids=ids[None]).logits[0]
        at = [place for place, learnt in enumerate(table["of_items"]) if learnt]
        slow += float(sum(F.cross_entropy(logits[place - 1], ids[place]) for place in at))
    assert float(learnt_loss(model, collate(data, np.arange(3), pad=0))) == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_without_candidates_there_is_nothing_to_rank(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, split: Split
) -> None:
    write_tokenized_run(tmp_path, replace(CONFIG, vote_candidates=0))
    with pytest.raises(InputError, match=rf"prompts/{split}: no list of candidates holds .* or set llm.task=write"):
        read_lists_to_learn(tmp_path, split, LlmConfig(task="rank"), tokenizer=tokenizer, seed=1)
    with pytest.raises(InputError, match=r"no list of candidates holds .* or set llm.judge=loss"):
        read_lists_to_learn(tmp_path, split, LlmConfig(judge="auc"), tokenizer=tokenizer, seed=1)


@pytest.mark.parametrize("learn", ["answer", "items", "prompt"])
def test_beside_a_list_the_same_tokens_are_learnt(
    run_dir: Path, data: PromptData, tokenizer: PreTrainedTokenizerBase, learn: Learn
) -> None:
    config = LlmConfig(task="both", learn=learn, negatives=3)
    lists = read_lists_to_learn(run_dir, "train", config, tokenizer=tokenizer, seed=1)
    rows = np.arange(5)
    batch = lists.batch(rows, step_rows=rows, pad=0)
    num_learnt = (batch.labels != IGNORED).sum(dim=1).tolist()
    whole = read_prompts(run_dir, "train")
    expected = {"answer": whole.learnt_lengths, "items": data.learnt_lengths, "prompt": whole.lengths - 1}[learn]
    assert num_learnt == expected[rows].tolist()
    assert batch.written == pytest.approx(len(rows) / sum(num_learnt))


def test_targets_that_are_no_candidates_are_left_out_added_or_only_written(
    run_dir: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    def read(config: LlmConfig) -> ListData:
        return read_lists_to_learn(run_dir, "train", config, tokenizer=tokenizer, seed=1)

    held = read(LlmConfig(task="rank", negatives=3))
    everything = read(LlmConfig(task="rank", negatives=3, added_targets=1.0))
    half = read(LlmConfig(task="rank", negatives=3, added_targets=0.5))
    missing = len(everything) - len(held)
    assert missing > 1, "the test needs targets that are no candidates"
    assert len(half) == len(held) + round(0.5 * missing)
    assert holds_target(read_candidates(held.dataset, held.place), held.target).all()
    written = read(LlmConfig(task="both", negatives=3))
    lengths = written.candidates(np.arange(len(written))).lengths
    assert written.sample.tolist() == everything.sample.tolist()
    alone = ~np.isin(written.sample, held.sample)
    assert lengths[alone].tolist() == [1] * missing
    assert (lengths[~alone] > 1).any()
