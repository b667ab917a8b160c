"""Did the browser tests really run? `python tests/browser/ran.py REPORT.xml` fails if any did not.

A machine without a browser, or a marker that deselects, must not turn into a green run: every file of browser
tests has to be in pytest's report, every kernel too, and none of their tests skipped.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from kernels import KERNEL_NAMES  # noqa: E402 - the tests' folder is no package


def problems(report: Path) -> list[str]:
    cases = [
        case for case in ET.parse(report).iter("testcase") if ".browser." in f".{case.get('classname')}."
    ]
    skipped = [case for case in cases if case.find("skipped") is not None]
    seen = {str(case.get("classname")).rpartition("browser.")[2].partition(".")[0] for case in cases}
    names = [str(case.get("name")) for case in cases]
    return [
        *(f"{case.get('classname')}::{case.get('name')} was skipped" for case in skipped),
        *(f"no test of {path.name} ran" for path in sorted(HERE.glob("test_*.py")) if path.stem not in seen),
        *(f"no test ran on {kernel}" for kernel in KERNEL_NAMES if not any(kernel in name for name in names)),
    ]


def figures(report: Path) -> list[str]:
    """What the tests measured, one line each."""
    return [
        f"{case.get('name')}: {entry.get('name')}: {entry.get('value')}"
        for case in ET.parse(report).iter("testcase")
        for entry in case.iter("property")
    ]


def main() -> None:
    report = Path(sys.argv[1])
    if found := problems(report):
        sys.exit("The browser tests did not all run:\n  " + "\n  ".join(found))
    print("All browser tests ran, on every kernel. Measured:", *figures(report), sep="\n  ")  # noqa: T201


if __name__ == "__main__":
    main()
