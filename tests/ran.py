"""Did all tests really run? `python tests/ran.py REPORT.xml` fails where a machine lacked what some need.

One without a browser, a Redis, Node or /proc, or a marker that deselects, must not turn into a green run:
every file of browser tests has to be in pytest's report, every kernel and every file of tests with a Redis
too, and no test may be skipped.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from kernels import KERNEL_NAMES
from published import MARK

HERE = Path(__file__).resolve().parent


def problems(report: Path) -> list[str]:
    cases = list(ET.parse(report).iter("testcase"))
    browser = [case for case in cases if ".browser." in f".{case.get('classname')}."]
    seen = {part for case in cases for part in str(case.get("classname")).split(".")}
    names = [str(case.get("name")) for case in browser]
    return [
        *(
            f"{case.get('classname')}::{case.get('name')} was skipped: {skipped.get('message')}"
            for case in cases
            if (skipped := case.find("skipped")) is not None
        ),
        *(f"no test of {name} ran" for name in files() if name not in seen),
        *(f"no test ran on {kernel}" for kernel in KERNEL_NAMES if not any(kernel in name for name in names)),
    ]


def files() -> list[str]:
    """The files of tests that need a browser or a Redis."""
    with_redis = [path for path in HERE.glob("test_*.py") if "redis_server" in path.read_text("utf-8")]
    return sorted(path.stem for path in [*HERE.glob("browser/test_*.py"), *with_redis])


def figures(report: Path) -> list[str]:
    """What the tests measured, one line each."""
    return [
        f"{case.get('name')}: {entry.get('name')}: {entry.get('value')}"
        for case in ET.parse(report).iter("testcase")
        for entry in case.iter("property")
        if not str(entry.get("name")).startswith(MARK)
    ]


def main() -> None:
    report = Path(sys.argv[1])
    if found := problems(report):
        sys.exit("The tests did not all run:\n  " + "\n  ".join(found))
    print("All tests with a browser or a Redis ran, on every kernel. Measured:", *figures(report), sep="\n  ")  # noqa: T201


if __name__ == "__main__":
    main()
