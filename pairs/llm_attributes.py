"""Attributes by a language model: ask for each title once, keep every answer, fall back to the catalogue.

Answers are one JSON line an item, `{"title_hash", "model", "prompt", "attributes"}`, or `raw` instead of `attributes`
where the answer could not be read. The file grows as answers come, outlives the run, and what it holds is not asked
again. Answers of the published form, `{"item", "attributes"}` by item number, are read too.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from launch.errors import InputError
from launch.progress import progress
from pairs.bad_rows import BadRow, FileCount
from pairs.chat_client import ChatClient, NoAnswer, RateLimit, key_from_environment
from pairs.json_lines import Row, parse_object
from pairs.line_blocks import read_blocks
from pairs.llm_config import LlmAttributesConfig
from pairs.text import attribute_words

MOST_ATTRIBUTES, LONGEST_ATTRIBUTE, LONGEST_RAW = 32, 100, 2000
FAILURES_IN_A_ROW = 20
LONGEST_TAIL = 1 << 16
BATCH = 32
"""Requests in hand for each thread."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """Attribute lists as they were answered; None is an answer that could not be read."""

    by_hash: dict[str, list[str] | None]
    by_item: dict[int, list[str] | None]

    def of(self, item: int, title_hash: str) -> tuple[bool, list[str] | None]:
        """Whether there is an answer, and it."""
        if title_hash in self.by_hash:
            return True, self.by_hash[title_hash]
        return item in self.by_item, self.by_item.get(item)


def add_llm_attributes(
    items: pl.DataFrame, names: tuple[str, str], config: LlmAttributesConfig, *, max_bad_share: float, numbered: bool
) -> tuple[pl.DataFrame, dict[str, Any]]:  # Any: plain JSON values
    """The items with the model's attributes where it gave any, and the card's entry; `numbered`: the items' numbers
    are the source's own, not ours, so that answers by number can be meant for them."""
    assert config.answers is not None
    path = Path(config.answers)
    if config.source == "endpoint":
        _end_with_whole_line(path)
        ask_missing(items, names, config, path, max_bad_share=max_bad_share)
    if not path.is_file():
        raise InputError(f"pair.llm_attributes.answers: {path} is no file")
    answers = read_answers(path, config, max_bad_share=max_bad_share)
    if answers.by_item and not numbered:
        raise InputError(f"{path}: has answers by item number, which fit a released pair only; give them title_hash")
    lists: list[list[str] | None] = []
    counts = dict.fromkeys(("answered", "empty", "bad", "missing"), 0)
    for item, _, _, title_hash in _requests(items, names):
        there, found = answers.of(item, title_hash)
        counts["missing" if not there else "bad" if found is None else "answered" if found else "empty"] += 1
        lists.append(found or None)
    listed = items.sort("item").with_columns(llm=pl.Series(lists, dtype=pl.List(pl.String)))
    words = listed.with_columns(llm=attribute_words("llm"))
    chosen = pl.when(pl.col("llm") != "").then("llm").otherwise("attributes")
    facts = {"source": config.source, "model": config.model, **counts}
    log.info(
        "attributes: %(answered)d by the model, %(empty)d empty and %(bad)d bad answers, %(missing)d without one",
        counts,
    )
    return words.with_columns(attributes=chosen).drop("llm"), facts


def ask_missing(
    items: pl.DataFrame, names: tuple[str, str], config: LlmAttributesConfig, path: Path, *, max_bad_share: float
) -> None:
    """Ask for every title that the file has no answer to, and append the answers to it as they come."""
    known = read_answers(path, config, max_bad_share=max_bad_share).by_hash if path.is_file() else {}
    wanted = {title_hash: (name, title) for _, name, title, title_hash in _requests(items, names)}
    missing = [(title_hash, *request) for title_hash, request in wanted.items() if title_hash not in known]
    if not missing:
        return
    client = _client(config)
    log.info("asking %s about %d of %d titles", config.endpoint, len(missing), len(wanted))
    failed_in_a_row = failed = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file, ThreadPoolExecutor(config.concurrency) as pool:
        for title_hash, text in progress(
            _ask_in_batches(pool, client, missing, config), label="attributes", total=len(missing)
        ):
            if isinstance(text, NoAnswer):
                failed, failed_in_a_row = failed + 1, failed_in_a_row + 1
                if failed_in_a_row >= FAILURES_IN_A_ROW:
                    raise InputError(
                        f"{config.endpoint}: {failed_in_a_row} requests in a row were not answered, the "
                        f"last with {text}; start again later: what was answered is kept"
                    )
                continue
            failed_in_a_row = 0
            file.write(json.dumps(_as_row(title_hash, text, config), ensure_ascii=False).encode() + b"\n")
            file.flush()
    if failed:
        log.warning("%d titles were not answered; they keep the catalogue's attributes until the next start", failed)


def parse_answer(text: str) -> list[str] | None:
    """The attributes that an answer lists: one JSON list of texts, alone or after some words; None if there is none."""
    begin, end = text.find("["), text.rfind("]")
    if begin < 0 or end < begin:
        return None
    try:
        found = json.loads(text[begin : end + 1])
    except (ValueError, RecursionError):
        return None
    return check_attributes(found)


def check_attributes(found: Any) -> list[str] | None:  # Any: a JSON value
    """The texts of a list that are not blank, cut to measure; None for anything but a list of texts."""
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        return None
    words = [word.strip()[:LONGEST_ATTRIBUTE] for word in found if word.strip()]
    return words[:MOST_ATTRIBUTES]


def hash_title(domain: str, title: str) -> str:
    """What an answer is kept under."""
    return hashlib.sha256(f"{domain}\n{title}".encode()).hexdigest()[:32]


def read_answers(path: Path, config: LlmAttributesConfig, *, max_bad_share: float) -> Answers:
    """The answers in a file, the last one counts; of an endpoint's file only those to the same model and prompt."""
    answers = Answers({}, {})
    count = FileCount(path, max_bad_share)
    for block in read_blocks(path, count):
        for number, line in block.lines():
            try:
                _take(parse_object(line), answers, config)
            except BadRow as fault:
                count.add_bad(number, str(fault))
            else:
                count.good += 1
    count.close()
    return answers


def _take(row: Row, answers: Answers, config: LlmAttributesConfig) -> None:
    attributes = check_attributes(row.get("attributes"))
    title_hash, item = row.get("title_hash"), row.get("item")
    if attributes is None and "raw" not in row and "attributes" not in row:
        raise BadRow("has neither attributes nor raw")
    if isinstance(title_hash, str):
        if config.source == "answers" or (row.get("model"), row.get("prompt")) == (config.model, _prompt_hash(config)):
            answers.by_hash[title_hash] = attributes
    elif isinstance(item, int):
        answers.by_item[item] = attributes
    else:
        raise BadRow("has neither title_hash nor item")


def _ask_in_batches(
    pool: ThreadPoolExecutor, client: ChatClient, missing: list[tuple[str, str, str]], config: LlmAttributesConfig
) -> Iterator[tuple[str, str | NoAnswer]]:
    def ask(request: tuple[str, str, str]) -> tuple[str, str | NoAnswer]:
        title_hash, domain, title = request
        prompt = config.prompt.replace("{domain}", domain).replace("{title}", title)
        try:
            return title_hash, client.ask(prompt, max_tokens=config.max_tokens)
        except NoAnswer as failure:
            return title_hash, failure

    size = BATCH * config.concurrency
    for begin in range(0, len(missing), size):
        yield from pool.map(ask, missing[begin : begin + size])


def _client(config: LlmAttributesConfig) -> ChatClient:
    assert config.endpoint is not None
    assert config.model is not None
    return ChatClient(
        url=config.endpoint,
        model=config.model,
        key=key_from_environment(config.key_env),
        limit=RateLimit(config.requests_per_minute),
        retries=config.retries,
        timeout=config.timeout,
    )


def _as_row(title_hash: str, text: str, config: LlmAttributesConfig) -> Row:
    attributes = parse_answer(text)
    found = {"raw": text[:LONGEST_RAW]} if attributes is None else {"attributes": attributes}
    return {"title_hash": title_hash, "model": config.model, "prompt": _prompt_hash(config), **found}


def _requests(items: pl.DataFrame, names: tuple[str, str]) -> Iterator[tuple[int, str, str, str]]:
    """item, domain name, title, title hash of every item, in id order."""
    for item, domain, title in items.sort("item").select("item", "domain", "title").iter_rows():
        yield item, names[domain], title, hash_title(names[domain], title)


def _prompt_hash(config: LlmAttributesConfig) -> str:
    return hashlib.sha256(config.prompt.encode()).hexdigest()[:8]


def _end_with_whole_line(path: Path) -> None:
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
