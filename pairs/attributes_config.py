"""Configuration of attributes by a language model."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from launch.options.fields import Decides, Means

NEEDED = {
    "none": (),
    "answers": ("answers",),
    "endpoint": ("answers", "endpoint", "model"),
    "local": ("answers", "model"),
}


@dataclass(frozen=True, kw_only=True)
class LlmAttributesConfig:
    """Attributes by a language model, instead of the catalogue's."""

    source: Decides[Literal["none", "answers", "endpoint", "local"]] = "none"
    """`answers`: only what the file holds; for the rest, `endpoint` asks an OpenAI-compatible endpoint and `local` a
    causal language model on this machine."""
    answers: Decides[str | None] = None
    """File of answers, one JSON line an item; it grows where a model is asked, so keep it outside the run's folder."""
    endpoint: Decides[str | None] = None
    """Root of the API, such as http://localhost:8000/v1."""
    model: Decides[str | None] = None
    """The model's name at the endpoint; for `local` the folder of a transformers model, or an ORG/NAME in the hub's
    cache. Answers are kept under this name: give another model another one."""
    key_env: Means[str | None] = None
    """Environment variable that holds the key; null: the endpoint needs none. The key is written nowhere."""
    prompt: Decides[str] = (
        'A {domain} product is called "{title}". List up to eight short attributes of it, such as its category, '
        "material, use, style and brand, the most general first. Answer with one JSON list of strings and nothing else."
    )
    """What is asked; {domain} and {title} are filled in."""
    max_tokens: Decides[int] = 200
    """Tokens of an answer."""
    requests_per_minute: Means[float] = 600.0
    """Requests to the endpoint begun in a minute at most."""
    concurrency: Means[int] = 8
    """Requests to the endpoint at the same time."""
    retries: Means[int] = 5
    """Times that a request is sent again, after growing pauses, where the endpoint is busy or does not answer."""
    timeout: Means[float] = 60.0
    """Seconds to wait for the endpoint's answer."""
    batch_size: Means[int] = 16
    """Titles that the local model answers at once."""
    device: Means[str] = "auto"
    """Where the local model runs: cpu, cuda, cuda:1; `auto`: a GPU if there is one."""

    @property
    def asks(self) -> bool:
        """A model is asked for what the file of answers does not hold."""
        return self.source in ("endpoint", "local")

    def __post_init__(self) -> None:
        for name in ("max_tokens", "requests_per_minute", "concurrency", "timeout", "batch_size"):
            value: float = getattr(self, name)
            if value <= 0:
                raise ValueError(f"pair.llm_attributes.{name} must be positive, got {value}")
        if self.retries < 0:
            raise ValueError(f"pair.llm_attributes.retries must not be negative, got {self.retries}")
        missing = [name for name in NEEDED[self.source] if not getattr(self, name)]
        if missing:
            raise ValueError(f"pair.llm_attributes.{missing[0]} must be given with source={self.source}")
        if self.source == "endpoint":
            _check_address(self.endpoint or "", with_key=self.key_env is not None)
        if self.asks:
            if (self.answers or "").endswith((".gz", ".zst")):
                raise ValueError(f"pair.llm_attributes.answers must be a plain file to grow, got {self.answers}")
            if "{title}" not in self.prompt:
                raise ValueError("pair.llm_attributes.prompt must contain {title}")


def _check_address(endpoint: str, *, with_key: bool) -> None:
    if not endpoint.startswith(("http://", "https://")):
        raise ValueError(f"pair.llm_attributes.endpoint must be an http(s) address, got {endpoint}")
    parts = urlsplit(endpoint)
    if parts.username is not None or parts.query:  # may be secrets: do not repeat them
        raise ValueError("pair.llm_attributes.endpoint must have no user, password or query; for keys there is key_env")
    if with_key and parts.scheme == "http" and not _is_here(parts.hostname or ""):
        raise ValueError(
            f"pair.llm_attributes.endpoint={endpoint}: the key that key_env names would cross the network unencrypted; "
            "give an https address, or one on this machine"
        )


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
