"""A tiny Llama that has learned its answers by heart, on disk as any other model, and attributes made by it."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from pairs.attributes.replace import add_llm_attributes
from pairs.attributes_config import LlmAttributesConfig
from training.config import ScratchConfig
from training.scratch import END, PAD, build_model, train_tokenizer

NAMES = ("tea", "kitchen")
LEARNED = {
    ("tea", "Green Tea"): '["Drinks", "Green Tea"]',
    ("tea", "Cup"): '["Tea cups"]',
    ("kitchen", "Cup"): '["Kitchen", "Cups & Mugs"]',
    ("kitchen", "Odd thing"): "Sorry.",
    ("kitchen", "Nothing"): "[]",
    ("tea", "Black Tea from Assam, whole leaves, 500 g in a tin"): '["Drinks", "Black Tea", "Assam"]',
    ("kitchen", "Kettle"): '["Kitchen", "Kettles"]',
    ("kitchen", "Kettle of steel with a whistle"): '["Kitchen", "Kettles", "Steel"]',
}
ITEMS = pl.DataFrame(
    {
        "item": range(9),
        "domain": [0, 0, 0, 1, 1, 1, 0, 1, 1],
        "title": ["Green Tea", "Green Tea", "Cup", "Cup", "Odd thing", "Nothing", *[title for _, title in LEARNED][5:]],
        "attributes": [f"catalogue {item}" for item in range(9)],
    }
)
EXPECTED = [
    "drinks green tea", "drinks green tea", "tea cups", "kitchen cups mugs", "catalogue 4", "catalogue 5",
    "drinks black tea assam", "kitchen kettles", "kitchen kettles steel",
]  # fmt: skip
CHAT = "{% for m in messages %}<{{ m.role }}> {{ m.content }}{% endfor %}{{ '' if enable_thinking is false else '?' }}"
CHAT_ANSWER = '["By the template"]'


def write_taught_model(path: Path) -> None:
    """The folder of a model that knows LEARNED by heart, and CHAT_ANSWER for whatever comes in the form of CHAT."""
    lessons = {f"{domain}, {title}:": answer for (domain, title), answer in LEARNED.items()}
    lessons |= {f"<user> {prompt}": CHAT_ANSWER for prompt in lessons}
    tokenizer = train_tokenizer([*lessons, *lessons.values()], vocab_size=400)
    size = ScratchConfig(hidden_size=32, num_layers=2, num_heads=4)
    end, pad = tokenizer.get_vocab()[END], tokenizer.get_vocab()[PAD]
    model = build_model(size, vocab_size=len(tokenizer), eos=end, pad=pad, max_tokens=64, seed=1, dtype=torch.float32)
    learn(model, tokenizer, lessons)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


def config(folder: Path, tmp_path: Path, **changes: Any) -> LlmAttributesConfig:
    settings = {"answers": str(tmp_path / "answers.jsonl"), "model": str(folder), "prompt": "{domain}, {title}:"}
    return LlmAttributesConfig(
        source="local", **{"device": "cpu", "max_tokens": 24, "batch_size": 3, **settings, **changes}
    )


def add(settings: LlmAttributesConfig, items: pl.DataFrame = ITEMS) -> tuple[list[str], dict[str, Any]]:
    chosen, facts = add_llm_attributes(items, NAMES, settings, max_bad_share=0.0, numbered=False)
    return chosen["attributes"].to_list(), facts


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    text = (tmp_path / "answers.jsonl").read_text(encoding="utf-8")
    return sorted((json.loads(line) for line in text.splitlines()), key=lambda row: str(row["title_hash"]))


def copied(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def learn(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, lessons: dict[str, str]) -> None:
    """Until every lesson's answer is the only likely one."""
    prompts = [tokenizer(prompt)["input_ids"] for prompt in lessons]
    answers = [tokenizer(answer + END)["input_ids"] for answer in lessons.values()]
    width = max(len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True))
    ids, labels = torch.zeros(len(prompts), width, dtype=torch.long), torch.full((len(prompts), width), -100)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(400):
        loss = model(input_ids=ids, labels=labels).loss
        if loss < 0.005:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise AssertionError(f"nothing was learned: {loss}")
