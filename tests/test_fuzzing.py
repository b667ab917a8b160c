"""Each target by hypothesis, and once more on all that was found worth keeping; see `make fuzz`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fuzzing.shapes import SHAPES
from fuzzing.targets import TARGETS
from hypothesis import HealthCheck, given, settings

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
CORPUS = Path(__file__).parent / "fuzzing" / "corpus"


@pytest.mark.timeout(120 + EXAMPLES)
@pytest.mark.flaky(reruns=0)  # another draw would hide what was found
@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str, publish: Callable[..., None]) -> None:
    target, tried = TARGETS[name], 0

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(SHAPES[name])
    def holds(data: bytes) -> None:
        nonlocal tried
        tried += 1
        target(data)

    kept = sorted((CORPUS / name).iterdir())
    assert kept, "there is no corpus"
    for file in kept:
        target(file.read_bytes())
    holds()
    found = [file for file in kept if file.name.startswith("finding-")]
    what = (target.__doc__ or "").partition("\n")[0].rstrip(".")
    publish(
        "fuzzing",
        target=name,
        what_holds=what,
        examples=f"{tried:,}",
        kept_by_coverage=len(kept) - len(found),
        findings_mended=len(found),
    )


def test_the_corpus_is_small() -> None:
    for name in TARGETS:
        files = list((CORPUS / name).iterdir())
        assert len(files) <= 150
        assert max(file.stat().st_size for file in files) <= 4096
