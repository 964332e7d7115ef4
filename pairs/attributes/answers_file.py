"""The file of a language model's answers: one JSON line an item, appended as they come, read back when it is there.

A line is `{"title_hash", "model", "prompt", "attributes"}`, or `raw` instead of `attributes` where the answer could
not be read. The file outlives the run, and what it holds is not asked again. Answers of the published form,
`{"item", "attributes"}` by item number, are read too.
"""

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairs.attributes_config import LlmAttributesConfig
from pairs.reading.bad_rows import BadRow, FileCount
from pairs.reading.json_lines import Row, parse_object
from pairs.reading.line_blocks import read_blocks

MOST_ATTRIBUTES, LONGEST_ATTRIBUTE, LONGEST_RAW = 32, 100, 2000
LONGEST_TAIL = 1 << 16
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AttributeAnswers:
    """Attribute lists as they were answered; None is an answer that could not be read."""

    by_hash: dict[str, list[str] | None]
    by_item: dict[int, list[str] | None]

    def of(self, item: int, title_hash: str) -> tuple[bool, list[str] | None]:
        """Whether there is an answer, and it."""
        if title_hash in self.by_hash:
            return True, self.by_hash[title_hash]
        return item in self.by_item, self.by_item.get(item)


def read_answers(path: Path, config: LlmAttributesConfig, *, max_bad_share: float) -> AttributeAnswers:
    """The answers in a file, the last one counts; of a file that grows only those to the same model and prompt."""
    answers = AttributeAnswers({}, {})
    count = FileCount(path, max_bad_share)
    for block in read_blocks(path, count):
        for number, line in block.lines():
            try:
                _take(parse_object(line), answers, config)
            except BadRow as fault:
                if block.last and count.good:
                    log.warning("%s: line %d has no end: left out, as a killed run leaves one", path, number)
                else:
                    count.add_bad(number, str(fault))
            else:
                count.good += 1
    count.close()
    return answers


def answer_line(title_hash: str, text: str, attributes: list[str] | None, config: LlmAttributesConfig) -> bytes:
    """The line that keeps an answer: what was read from it, or the text if nothing could be."""
    answer = {"raw": _whole(text[:LONGEST_RAW])} if attributes is None else {"attributes": attributes}
    row = {"title_hash": title_hash, "model": config.model, "prompt": hash_prompt(config), **answer}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def parse_answer(text: str) -> list[str] | None:
    """The attributes that an answer lists: one JSON list of texts, alone or after some words; None if there is none."""
    begin, end = text.find("["), text.rfind("]")
    if begin < 0 or end < begin:
        return None
    try:
        words = json.loads(text[begin : end + 1])
    except (ValueError, RecursionError):
        return None
    return check_attributes(words)


def check_attributes(listed: Any) -> list[str] | None:  # Any: a JSON value
    """The texts of a list that are not blank, cut to measure; None for anything but a list of texts."""
    if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
        return None
    words = [_whole(word).strip()[:LONGEST_ATTRIBUTE] for word in listed if word.strip()]
    return words[:MOST_ATTRIBUTES]


def hash_prompt(config: LlmAttributesConfig) -> str:
    """What tells the answers to one prompt from those to another."""
    return hashlib.sha256(config.prompt.encode()).hexdigest()[:8]


def end_with_whole_line(path: Path) -> None:
    """Cut off what a killed writer left of a line."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(end - LONGEST_TAIL, 0)
            file.seek(begin)
            whole = file.read(end - begin).rfind(b"\n") + 1
            if whole:
                file.truncate(begin + whole)
                return
            end = begin
        file.truncate(0)


def _whole(text: str) -> str:
    # JSON may escape half of a surrogate pair, which neither a file nor a table can hold.
    return text.encode(errors="replace").decode()


def _take(row: Row, answers: AttributeAnswers, config: LlmAttributesConfig) -> None:
    attributes = check_attributes(row.get("attributes"))
    title_hash, item = row.get("title_hash"), row.get("item")
    if attributes is None and "raw" not in row and "attributes" not in row:
        raise BadRow("has neither attributes nor raw")
    if isinstance(title_hash, str):
        if config.source == "answers" or (row.get("model"), row.get("prompt")) == (config.model, hash_prompt(config)):
            answers.by_hash[title_hash] = attributes
    elif isinstance(item, int):
        answers.by_item[item] = attributes
    else:
        raise BadRow("has neither title_hash nor item")
