"""What the relay billed beside what was estimated: later estimates learn of it, and over-billing shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from hs_notebook.pricing.names import plain_name
from hs_notebook.pricing.tokens import IMAGES, TEXT_ALONE

if TYPE_CHECKING:
    from collections.abc import Collection

    from hs_notebook.pricing.tokens import Estimate

_KEPT = 39  # calls; of the next ones 38 in 40 then lie between the least and the greatest seen
_ENOUGH = 19  # calls, of which that holds for 18 in 20: from here on the interval is what was seen
_TELLING = 5  # calls, before anything is said of over-billing
_TOO_FEW = 50  # tokens: a short text says more of what the relay adds than of its tokens


class _Seen(NamedTuple):
    estimated: int
    billed: int
    above: bool  # more was billed than the interval allows

    @property
    def ratio(self) -> float:
        return self.billed / self.estimated


class Calibration:
    """Corrects estimates of one kind, of the input or of the output, by what was billed for earlier ones.

    Each model and each method of counting has its own record of the last calls. Any thread may use it.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[_Seen, ...]] = {}  # no record is changed: another may read it

    def see(self, model: str, estimated: Estimate, billed: int) -> None:
        """Take in a call: its estimate, uncorrected, and the tokens that the relay billed.

        Calls with more than text teach nothing: of images nobody knows the tokens.
        """
        if min(estimated.tokens, billed) < _TOO_FEW or estimated.method.endswith((TEXT_ALONE, IMAGES)):
            return
        key = plain_name(model), estimated.method
        seen = _Seen(estimated.tokens, billed, billed > estimated.high)
        self._seen[key] = (*self._seen.get(key, ()), seen)[-_KEPT:]

    def apply(self, model: str, estimate: Estimate) -> Estimate:
        """Return an estimate with its tokens in the running ratio of billed to estimated ones.

        They stay in the interval that the method promises, which becomes the narrower one of what was seen
        after 19 calls; unless most calls were billed above theirs: then what is billed is to be expected.
        """
        record = self._seen.get((plain_name(model), estimate.method))
        if not record:
            return estimate
        ratio = sum(call.billed for call in record) / sum(call.estimated for call in record)
        ratios = [call.ratio for call in record]
        low, high = estimate.low, estimate.high
        if _mostly_above(record):
            high = max(high, math.ceil(estimate.tokens * max(ratios)))
        elif len(record) >= _ENOUGH:
            low = min(high, max(low, math.floor(estimate.tokens * min(ratios))))
            high = max(low, min(high, math.ceil(estimate.tokens * max(ratios))))
        tokens = min(high, max(low, round(estimate.tokens * ratio)))
        return msgspec.structs.replace(estimate, tokens=tokens, low=low, high=high)

    def over_billing(self, model: str) -> str:
        """Return one line where most of a model's calls were billed above their interval, or nothing."""
        for (name, method), record in list(self._seen.items()):
            if name == plain_name(model) and _mostly_above(record):
                above = [call for call in record if call.above]
                more = sum(call.billed for call in above) / sum(call.estimated for call in above)
                return (
                    f"{len(above)} of the last {len(record)} calls of {model} were billed above what their "
                    f"text can have: {more:.2f} times the estimate ({method}). "
                    "The relay adds a prompt, or bills more."
                )
        return ""


def _mostly_above(record: Collection[_Seen]) -> bool:
    return len(record) >= _TELLING and 2 * sum(call.above for call in record) > len(record)
