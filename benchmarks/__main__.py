"""Run the benchmarks one after the other; each writes its part of docs/performance.md.

    python benchmarks [client latency notebook load relay] [--check …]

What a script prints is Markdown, its docstring the words above it. Other options go to each script, and then
nothing is written: the page has the figures of usual runs, missed goals included.
"""

from __future__ import annotations

import ast
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
NAMES = ("client", "latency", "notebook", "load", "relay")
HEAD = """# Performance: beside the transport and the peers

`make bench` runs it all again and writes this page, `make bench BENCH=client` one part of it; `ARGS=--check`
fails where a goal is missed, and writes nothing. Take the ratios: whoever stands in one table was measured in
turn in one run, while absolute figures are those of one machine on one day.
"""


def run(name: str, options: list[str]) -> tuple[str, int]:
    """Run one script; return what it printed, which is shown as it comes, and its exit code."""
    command = [sys.executable, "-u", str(HERE / f"{name}.py"), *options]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines).strip(), process.returncode


def described(name: str) -> tuple[str, str]:
    """Return the heading of a script's part of the page, and what it measures."""
    docstring = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or ""
    title, *paragraphs = re.split(r"\n\n(?!\s)", re.sub(r"\n\n {4}.*", "", docstring))
    return f"## {title.rstrip('.')}", "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def section(name: str, printed: str) -> str:
    """Return a script's part of the page: title, what is measured, how to repeat it, where, the tables."""
    heading, words = described(name)
    return f"{heading}\n\n{words} (`make bench BENCH={name}`)\n\nMeasured on {machine()}.\n\n{printed}\n"


def write(sections: dict[str, str]) -> None:
    """Put parts of the page in the place of those that stand there."""
    _, *old = re.split(r"^(?=## )", read(str(PAGE)), flags=re.MULTILINE)
    stand = {part.partition("\n")[0]: part.rstrip() + "\n" for part in old}
    parts = [sections.get(name) or stand.get(described(name)[0], "") for name in NAMES]
    PAGE.write_text("\n".join([HEAD, *filter(None, parts)]), encoding="utf-8")
    print(f"{PAGE} is written.")


def machine() -> str:
    cpu = re.search(r"^model name\s*: (.*)", read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"), re.MULTILINE)
    parts = [
        f"{os.cpu_count()} cores" + (f" ({cpu[1].strip()})" if cpu else ""),
        *([f"{int(memory[1]) / 2**20:.0f} GiB"] if memory else []),
        f"{platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        *(f"{package} {version(package)}" for package in ("httpx", "jupyterlab", "ipykernel")),
    ]
    return f"{datetime.now(UTC):%Y-%m-%d}: {', '.join(parts)}"


def read(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def main() -> int:
    names = [word for word in sys.argv[1:] if word in NAMES]
    options = [word for word in sys.argv[1:] if word not in NAMES]
    done = {name: run(name, options) for name in names or NAMES}
    if not options:
        write({name: section(name, printed) for name, (printed, _) in done.items() if printed})
    return max(code for _, code in done.values())


if __name__ == "__main__":
    sys.exit(main())
