"""Fuzz one target, guided by coverage: `make fuzz TARGET=decoder SECONDS=60`.

What reached new code is kept in `corpus/TARGET`, as little of it as reaches all; what broke an invariant is
kept there as `finding-…`, and tried by `tests/test_fuzzing.py` ever after.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

HERE = Path(__file__).resolve().parent
PACKAGE = str(HERE.parent.parent / "hs_notebook")
MOST, LARGEST = 150, 4096  # files of a corpus, and bytes of one


def load() -> dict[str, Callable[[bytes], None]]:
    sys.path.insert(0, str(HERE.parent))
    targets: dict[str, Callable[[bytes], None]] = import_module("fuzzing.targets").TARGETS
    return targets


def fuzz(name: str, *flags: str) -> None:
    """Never returns: it is libFuzzer that ends the process."""
    import atheris

    with atheris.instrument_imports(include=["hs_notebook"]):
        targets = load()
    atheris.Setup([sys.argv[0], *flags], targets[name])
    atheris.Fuzz()


@contextmanager
def traced(arcs: set[tuple[Any, ...]]) -> Iterator[None]:
    """Gather which line of the package followed which."""
    last: dict[int, int] = {}

    def trace(frame: FrameType, kind: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if kind == "line":
            arcs.add((frame.f_code.co_filename, last.get(id(frame)), frame.f_lineno))
            last[id(frame)] = frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def minimised(target: Callable[[bytes], None], found: Iterator[bytes]) -> list[bytes]:
    """The shortest that reach something which no shorter one does."""
    reached: set[tuple[Any, ...]] = set()
    kept = []
    for data in sorted(set(found), key=lambda data: (len(data), data)):
        arcs: set[tuple[Any, ...]] = set()
        with traced(arcs):
            target(data)
        if arcs - reached and len(data) <= LARGEST:
            reached |= arcs
            kept.append(data)
    return kept[:MOST]


def main(name: str, seconds: str) -> int:
    corpus = HERE / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        flags = [
            f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-timeout=30", "-print_final_stats=1",
            f"-artifact_prefix={corpus}/finding-", folder, str(corpus),
        ]  # fmt: skip
        command = [sys.executable, __file__, "--here", name, *flags]
        ended = subprocess.run(command, check=False).returncode
        findings = sorted(corpus.glob("finding-*"))
        if ended:
            sys.stdout.write(f"{name}: an invariant broke; see {corpus}\n")
            return 1
        kept = [file for file in corpus.iterdir() if file not in findings]
        every = [file.read_bytes() for file in (*kept, *Path(folder).iterdir())]
    smallest = minimised(load()[name], iter(every))
    for file in kept:
        file.unlink()
    for data in smallest:
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    sys.stdout.write(f"{name}: {len(smallest)} of {len(every)} inputs kept, {len(findings)} findings\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--here":
        fuzz(*sys.argv[2:])
    sys.exit(main(*sys.argv[1:]))
