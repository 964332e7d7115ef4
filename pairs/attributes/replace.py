"""Attributes by a language model: ask for each title once, keep every answer, fall back to the catalogue.

Who answers is an `AttributeSource` (source); what was answered is a file (answers_file).
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from launch.errors import InputError
from launch.progress import progress
from pairs.attributes.answers_file import answer_line, end_with_whole_line, parse_answer, read_answers
from pairs.attributes.endpoint import open_endpoint
from pairs.attributes.source import AttributeSource, NoAnswer, Prompt
from pairs.attributes_config import LlmAttributesConfig
from pairs.reading.raw_files import refuse_other_than_file
from pairs.reading.text import attribute_words

FAILURES_IN_A_ROW, FAILURES_AT_FIRST = 20, 3
"""Titles without an answer, all retries used up, that end the stage: later on, and before anything was answered."""
UNREADABLE_FIRST = 50
"""Answers of which none is readable before the log says so, hours before the card would."""
log = logging.getLogger(__name__)


def add_llm_attributes(
    items: pl.DataFrame, names: tuple[str, str], config: LlmAttributesConfig, *, max_bad_share: float, numbered: bool
) -> tuple[pl.DataFrame, dict[str, Any]]:  # Any: plain JSON values
    """The items with the model's attributes where it gave any, and the card's entry; `numbered`: the items' numbers
    are the source's own, not ours, so that answers by number can be meant for them."""
    assert config.answers is not None
    path = Path(config.answers)
    if path.exists():
        refuse_other_than_file(path)
    if config.asks:
        end_with_whole_line(path)
        ask_missing(items, names, config, path, max_bad_share=max_bad_share)
    if not path.is_file():
        raise InputError(f"pair.llm_attributes.answers: {path} is no file")
    answers = read_answers(path, config, max_bad_share=max_bad_share)
    if answers.by_item and not numbered:
        raise InputError(f"{path}: has answers by item number, which fit a released pair only; give them title_hash")
    lists: list[list[str] | None] = []
    counts = dict.fromkeys(("answered", "empty", "bad", "missing"), 0)
    for item, _, _, title_hash in _titles(items, names):
        there, attributes = answers.of(item, title_hash)
        counts["missing" if not there else "bad" if attributes is None else "answered" if attributes else "empty"] += 1
        lists.append(attributes or None)
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
    wanted = {title_hash: (name, title) for _, name, title, title_hash in _titles(items, names)}
    missing = [
        Prompt(title_hash, config.prompt, name, title)
        for title_hash, (name, title) in wanted.items()
        if title_hash not in known
    ]
    if not missing:
        return
    source = open_source(config)
    log.info("asking %s about %d of %d titles", source.name, len(missing), len(wanted))
    failed_in_a_row = failed = unreadable = answered = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file, closing(source.answer(missing)) as answers:
        for title_hash, text in progress(answers, label="attributes", total=len(missing)):
            if isinstance(text, NoAnswer):
                failed, failed_in_a_row = failed + 1, failed_in_a_row + 1
                if failed_in_a_row >= (FAILURES_IN_A_ROW if answered else FAILURES_AT_FIRST):
                    raise InputError(
                        f"{source.name}: {failed_in_a_row} requests in a row were not answered, the "
                        f"last with {text}; start again later: what was answered is kept"
                    )
                continue
            failed_in_a_row, answered = 0, answered + 1
            attributes = parse_answer(text)
            file.write(answer_line(title_hash, text, attributes, config))
            file.flush()
            unreadable = unreadable + 1 if attributes is None and unreadable >= 0 else -1
            if unreadable == UNREADABLE_FIRST:
                log.warning("none of the first %d answers is a JSON list of texts; one is %r", unreadable, text[:200])
    if failed:
        log.warning("%d titles were not answered; they keep the catalogue's attributes until the next start", failed)


def open_source(config: LlmAttributesConfig) -> AttributeSource:
    """Who answers, as the configuration has it."""
    if config.source == "local":
        from pairs.attributes.local_model import open_local_model  # torch and transformers load for those who use them

        return open_local_model(config)
    return open_endpoint(config)


def hash_title(domain: str, title: str) -> str:
    """What an answer is kept under."""
    return hashlib.sha256(f"{domain}\n{title}".encode()).hexdigest()[:32]


def _titles(items: pl.DataFrame, names: tuple[str, str]) -> Iterator[tuple[int, str, str, str]]:
    """item, domain name, title, title hash of every item, in id order."""
    for item, domain, title in items.sort("item").select("item", "domain", "title").iter_rows():
        yield item, names[domain], title, hash_title(names[domain], title)
