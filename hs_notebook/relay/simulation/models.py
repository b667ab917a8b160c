"""The models that the simulated relay knows, with the speeds it replays."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One simulated model.

    `ttft` is the time to the first token in seconds, `tps` the tokens per second after it, `error_rate`
    the share of requests (0 to 1) that fail when `Simulation.errors` is on.
    """

    id: str
    owner: str
    ttft: float = 0.300
    tps: float = 100.0
    error_rate: float = 0.0


# The first four are the measurements of the vendor's article. Nobody measured the others for us: they
# share the defaults of `Model` (300 ms, 100 tokens/s, no errors), round figures that no one takes for
# measurements.
MODELS = (
    Model(id="gpt-4.1", owner="openai", ttft=0.420, tps=68, error_rate=0.002),
    Model(id="claude-sonnet-4.5", owner="anthropic", ttft=0.380, tps=72, error_rate=0.001),
    Model(id="gemini-2.5-flash", owner="google", ttft=0.180, tps=145),
    Model(id="deepseek-v3.2", owner="deepseek", ttft=0.095, tps=198, error_rate=0.003),
    Model(id="gpt-4.1-mini", owner="openai"),
    Model(id="gpt-5.4", owner="openai"),
    Model(id="gpt-5.5", owner="openai"),
    Model(id="claude-haiku-4-5", owner="anthropic"),
    Model(id="claude-sonnet-4-6", owner="anthropic"),
    Model(id="claude-opus-4-6", owner="anthropic"),
    Model(id="gemini-2.5-pro", owner="google"),
    Model(id="deepseek-v4-pro", owner="deepseek"),
)


def find(name: str) -> Model | None:
    """Return the model called `name`; dots and dashes, small and capital letters are the same."""
    return next((model for model in MODELS if _plain(model.id) == _plain(name)), None)


def nearest(name: str) -> list[str]:
    """Return the ids that look most like `name`, best first; the measured four where none does."""
    by_plain = {_plain(model.id): model.id for model in MODELS}
    close = get_close_matches(_plain(name), by_plain, n=3, cutoff=0.5)
    return [by_plain[match] for match in close] or [model.id for model in MODELS[:4]]


def _plain(name: str) -> str:
    return name.strip().lower().replace(".", "-")
