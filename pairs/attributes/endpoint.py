"""Attributes from an OpenAI-compatible endpoint: several requests at the same time."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pairs.attributes.chat_client import ChatClient, RateLimit, key_from_environment
from pairs.attributes.source import NoAnswer, Prompt
from pairs.attributes_config import LlmAttributesConfig

BATCH = 32
"""Requests in hand for each thread."""


@dataclass(frozen=True)
class EndpointSource:
    """One model behind one endpoint."""

    client: ChatClient
    concurrency: int
    max_tokens: int

    @property
    def name(self) -> str:
        """The endpoint's address."""
        return self.client.url

    def answer(self, prompts: Sequence[Prompt]) -> Generator[tuple[str, str | NoAnswer], None, None]:
        """As `AttributeSource` has it; in the order of the prompts."""

        def ask(prompt: Prompt) -> tuple[str, str | NoAnswer]:
            try:
                return prompt.title_hash, self.client.ask(prompt.text, max_tokens=self.max_tokens)
            except NoAnswer as failure:
                return prompt.title_hash, failure

        size = BATCH * self.concurrency
        with ThreadPoolExecutor(self.concurrency) as pool:
            for begin in range(0, len(prompts), size):
                yield from pool.map(ask, prompts[begin : begin + size])


def open_endpoint(config: LlmAttributesConfig) -> EndpointSource:
    """The endpoint that the configuration names, with the key from the environment."""
    assert config.endpoint is not None
    assert config.model is not None
    client = ChatClient(
        url=config.endpoint,
        model=config.model,
        key=key_from_environment(config.key_env),
        limit=RateLimit(config.requests_per_minute),
        retries=config.retries,
        timeout=config.timeout,
    )
    return EndpointSource(client, config.concurrency, config.max_tokens)
