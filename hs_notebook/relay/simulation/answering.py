"""The upstream that answers: which text, how many tokens, and when each of them is due."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import msgspec

from hs_notebook.relay.simulation import article
from hs_notebook.relay.simulation.requests import BadRequestError, ChatBody, Directives, Part
from hs_notebook.relay.simulation.sample import sample

if TYPE_CHECKING:
    from hs_notebook.relay.simulation.models import Model

_IMAGE = 85  # tokens; OpenAI's price of a small one
_TURN = 4  # tokens that frame a message


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulation:
    """How the relay simulates. `speed` 10 is ten times as fast as the models, `inf` does not wait at all.

    With `errors` each model fails as often as the vendor's article measured; `seed` decides which requests.
    """

    speed: float = 1.0
    errors: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"speed must be above 0, not {self.speed!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """When tokens are due, in seconds after the request's arrival."""

    ttft: float
    interval: float

    def due(self, index: int) -> float:
        """Return when token number `index`, counted from 0, is due."""
        return self.ttft + index * self.interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a model says: its tokens or `(name, arguments)` of calls, why it ends, its usage and pace."""

    tokens: list[str]
    finish: str
    usage: dict[str, int]
    pace: Pace
    calls: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.tokens)


@dataclass(kw_only=True, slots=True)
class Simulator:
    """Answers requests. Keeps state only for seeded errors and for the faults that strike once."""

    settings: Simulation
    _random: Random = field(init=False)
    _struck: set[bytes] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._random = Random(self.settings.seed)  # noqa: S311 - chosen for being repeatable

    def answer(self, body: ChatBody, model: Model, directives: Directives) -> Answer:
        """Return the answer; the same model and messages always get the same text."""
        pace = self._pace(model, directives)
        asked = [name for name in directives.tool.split(",") if name in body.offered]
        if asked:
            calls = tuple((name, directives.arguments) for name in asked)
            spoken = sum(len(article.tokenize(name + arguments)) for name, arguments in calls)
            return Answer(tokens=[], finish="tool_calls", usage=_usage(body, spoken), pace=pace, calls=calls)
        tokens = self._tokens(body, model, directives)
        cut = body.limit is not None and len(tokens) > body.limit
        tokens = tokens[: body.limit]
        return Answer(
            tokens=tokens,
            finish="length" if cut else "stop",
            usage=_usage(body, len(tokens)),
            pace=pace,
        )

    def fails(self, model: Model) -> bool:
        """Draw whether this request meets one of the errors that `Simulation.errors` asks for."""
        return self.settings.errors and self._random.random() < model.error_rate

    def strikes(self, body: ChatBody) -> bool:
        """Return whether a fault that strikes once does so now: the first time it sees these messages."""
        key = _digest(body, "")
        first = key not in self._struck
        self._struck.add(key)
        return first

    def _tokens(self, body: ChatBody, model: Model, directives: Directives) -> list[str]:
        if directives.text is None:
            seed = int.from_bytes(_digest(body, model.id))
            if body.response_format and (schema := body.response_format.schema) is not None:
                value = sample(schema, Random(seed))  # noqa: S311 - as above
                return article.tokenize(json.dumps(value, ensure_ascii=False, indent=1))
            return article.write(directives.prompt, seed, directives.tokens)
        if directives.tokens is not None:
            raise BadRequestError("The simulation directives text and tokens exclude each other.")
        return article.tokenize(directives.text)

    def _pace(self, model: Model, directives: Directives) -> Pace:
        speed = directives.speed or self.settings.speed
        ttft = model.ttft if directives.ttft is None else directives.ttft
        return Pace(ttft=ttft / speed, interval=1 / (directives.tps or model.tps) / speed)


def _usage(body: ChatBody, completion: int) -> dict[str, int]:
    prompt = sum(_TURN + len(article.tokenize(message.text)) for message in body.messages)
    parts = (part for message in body.messages for part in message.content or () if isinstance(part, Part))
    prompt += sum(_IMAGE for part in parts if part.type == "image_url")
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _digest(body: ChatBody, model: str) -> bytes:
    # Python's own hash() differs from process to process.
    return hashlib.sha256(model.encode() + b"\0" + msgspec.json.encode(body.messages)).digest()
