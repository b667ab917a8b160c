"""What is measured of one request, and what a run of them was: the values that are saved."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Phase: TypeAlias = Literal["warm-up", "sequential", "parallel"]
FORMAT: Literal["hs-notebook benchmark"] = "hs-notebook benchmark"
VERSION = 1

_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One request: times in seconds since the attempt that succeeded was sent, None is unknown.

    `ttft` is the time to the first token, `tokens_per_second` counts output tokens after the first over the
    time they took. `cost` is in USD and None where unknown; `known_cost` is the part of it that is known.
    Without an answer to keep, `input_tokens` is known where one may be billed all the same; such a cost is
    unknown. `error_type` names the error that it ended in, and `mended` those of `attempts` before that
    another one mended. `waited` is what the limits of the client, failed attempts and the waits after them
    took: no part of any other time.
    """

    model: _Name
    phase: Phase
    index: _Count
    started: datetime
    ttft: _Seconds | None = None
    tokens_per_second: _Seconds | None = None
    duration: _Seconds | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    estimated: bool = False
    cost: Decimal | None = None
    known_cost: Decimal = Decimal(0)
    state: str = "error"
    finish_reason: str | None = None
    error_type: str = ""
    mended: tuple[str, ...] = ()
    attempts: _Count = 1
    waited: _Seconds = 0.0
    simulated: bool = False
    response_model: str = ""

    def __post_init__(self) -> None:
        for cost in (self.cost, self.known_cost):
            if cost is not None and not (cost.is_finite() and cost >= 0):
                raise ValueError(f"{cost} is no cost")

    @property
    def whole(self) -> bool:
        """Whether it is an answer as it was asked for: also one that is cut at the tokens asked for."""
        return not self.error_type and (self.state == "complete" or self.finish_reason == "length")

    @property
    def over(self) -> bool:
        """Whether it ran to its end, well or not: one that was stopped says nothing."""
        return self.whole or self.state != "stopped"

    @property
    def failed(self) -> bool:
        """Whether the relay failed it, also where another attempt mended that."""
        return self.over and (not self.whole or bool(self.mended))


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How a run was made; `prompt` is the SHA-256 of the prompt, shortened.

    `simulated` tells of a relay that gave no answer to tell it.
    """

    models: tuple[_Name, ...]
    requests: _Count
    tokens: _Count
    parallel: _Count
    warmup: _Count
    prompt: str
    server_address: str
    started: datetime
    package: str
    requests_per_minute: _Count
    concurrent_streams: _Count
    simulated: bool = False


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A saved run."""

    format: Literal["hs-notebook benchmark"] = FORMAT
    version: int = VERSION
    setup: Setup
    ended: str = ""
    samples: tuple[Sample, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether answers were simulated, or would have been."""
        return is_simulated(self.setup, self.samples)


def is_simulated(setup: Setup, samples: Iterable[Sample]) -> bool:
    """Tell whether a run was of a simulated relay, also where none of it was answered."""
    return setup.simulated or any(sample.simulated for sample in samples)
