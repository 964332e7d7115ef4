"""Configuration of attributes by a language model."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LlmAttributesConfig:
    """Attributes by a language model, instead of the catalogue's."""

    source: Literal["none", "answers", "endpoint"] = "none"
    """`answers`: only what the file holds; `endpoint`: ask an OpenAI-compatible endpoint for the rest."""
    answers: str | None = None
    """File of answers, one JSON line an item; with an endpoint it grows, so keep it outside the run's folder."""
    endpoint: str | None = None
    """Root of the API, such as http://localhost:8000/v1."""
    model: str | None = None
    """The model's name at the endpoint."""
    key_env: str | None = None
    """Environment variable that holds the key; null: the endpoint needs none. The key is written nowhere."""
    prompt: str = (
        'A {domain} product is called "{title}". List up to eight short attributes of it, such as its category, '
        "material, use, style and brand, the most general first. Answer with one JSON list of strings and nothing else."
    )
    """What is asked; {domain} and {title} are filled in."""
    max_tokens: int = 200
    """Tokens of an answer."""
    requests_per_minute: float = 600.0
    """Requests begun in a minute at most."""
    concurrency: int = 8
    """Requests at the same time."""
    retries: int = 5
    """Times that a request is sent again, after growing pauses, where the endpoint is busy or does not answer."""
    timeout: float = 60.0
    """Seconds to wait for an answer."""

    def __post_init__(self) -> None:
        for name in ("max_tokens", "requests_per_minute", "concurrency", "timeout"):
            value: float = getattr(self, name)
            if value <= 0:
                raise ValueError(f"pair.llm_attributes.{name} must be positive, got {value}")
        if self.retries < 0:
            raise ValueError(f"pair.llm_attributes.retries must not be negative, got {self.retries}")
        needed = {"none": (), "answers": ("answers",), "endpoint": ("answers", "endpoint", "model")}[self.source]
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"pair.llm_attributes.{missing[0]} must be given with source={self.source}")
        if self.source == "endpoint":
            if not (self.endpoint or "").startswith(("http://", "https://")):
                raise ValueError(f"pair.llm_attributes.endpoint must be an http(s) address, got {self.endpoint}")
            if (self.answers or "").endswith((".gz", ".zst")):
                raise ValueError(f"pair.llm_attributes.answers must be a plain file to grow, got {self.answers}")
            if "{title}" not in self.prompt:
                raise ValueError("pair.llm_attributes.prompt must contain {title}")
