"""The house stands as it was drawn: layers import downward only, and each library has its room."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "hs_notebook"
ROOT = Path(__file__).parent.parent / PACKAGE

# From the bottom: what stands in a row may import what stands in the rows above it in this list, and, unless
# it is a package of its own, nothing beside it.
LAYERS = (
    ("errors", "chunked", "wording"),
    (
        "types",
        "portal",
        "prompt",
        "fences",
        "interpolation",
        "watchdog",
        "connections",
        "secret",
        "interrupts",
    ),
    ("answers", "schemas"),
    ("compared",),
    ("tools",),
    ("pricing",),
    ("wire", "settings", "ledger", "prices", "project"),
    ("net", "recording", "replay"),
    ("streams",),
    ("exchange",),
    ("completions",),
    ("client",),
    ("widgets",),
    ("display",),
    ("calculator",),
    ("call", "conversation", "background"),
    ("session",),
    ("asking", "doctor", "runs"),
    ("benchmarking",),
    ("magics",),
    ("mapping", "measuring"),
    ("relay",),
    ("cli",),
)
# The pure layer: no network, no loop, no files.
PURE = {
    "chunked",
    "errors",
    "types",
    "fences",
    "interpolation",
    "wording",
    "secret",
    "answers",
    "schemas",
    "tools",
    "pricing",
    "wire",
}
IMPURE = {"asyncio", "socket", "ssl", "threading", "subprocess", "pathlib", "os", "httpx", "anyio", "IPython"}

# The notebook's side and the relay know nothing of each other; the command line may start either.
RELAY_KNOWS = {
    "errors",
    "types",
    "pricing",
    "wire",
    "watchdog",
    "connections",
    "secret",
    "ledger",
    "recording",
}
KNOW_THE_RELAY = {"cli"}

# Where a library may be imported: modules, or packages with all that is in them.
ROOMS = {
    "httpx": {"connections", "net.transport", "relay.upstream"},
    "anyio": {"net.transport"},
    "starlette": {"relay"},
    "uvicorn": {"relay"},
    "h11": {"relay.protocol"},
    "prometheus_client": {"relay.metrics"},
    "redis": {"relay.state"},
    "limits": {"relay.state"},
    "anywidget": {"widgets"},
    "ipywidgets": {"widgets"},
    "traitlets": {"widgets", "magics"},
    "IPython": {"magics"},
    "nest_asyncio": {"magics"},
    "markdown_it": {"display"},
    "mdurl": {"display"},
    "pygments": {"display"},
    "jsonschema": {"schemas"},
    "PIL": {"magics.attachments"},
    "keyring": {"settings"},
    "dotenv": {"settings"},
    "jupyterlab": {"cli"},
    "platformdirs": {"ledger", "prices", "cli"},
    "genai_prices": {"pricing"},
    "splintr": {"pricing"},
    "pandas": {"display", "ledger", "mapping", "benchmarking"},
    "tqdm": {"display"},
    "msgspec": {
        "types",
        "fences",
        "schemas",
        "tools",
        "answers",
        "pricing",
        "wire",
        "ledger",
        "net",
        "settings",
        "display",
        "call",
        "session",
        "recording",
        "replay",
        "exchange",
        "conversation",
        "mapping",
        "runs",
        "benchmarking",
        "relay",
    },
}
# Parts of one magic, which name the whole in their annotations alone.
PARTS_OF_THE_MAGIC = {
    f"hs_notebook.magics.{part}"
    for part in (
        "accounts",
        "ask",
        "bench",
        "candidates",
        "checkup",
        "cell",
        "commands",
        "compare",
        "completion",
        "dry_run",
        "fix",
        "purse",
        "replay",
        "shown",
        "talk",
    )
}

# Never a part of loading: `import hs_notebook` is to cost little, and no server comes with it.
LATE = {
    "IPython", "anyio", "anywidget", "dotenv", "httpx", "ipywidgets", "genai_prices", "h11", "jsonschema",
    "jupyterlab", "keyring", "limits", "markdown_it", "nest_asyncio", "numpy", "pandas", "platformdirs",
    "prometheus_client", "pygments", "redis",
    "splintr", "sqlite3", "starlette", "tqdm", "uvicorn",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """`source` imports `target`, both as full names; `types_only` where nothing happens at run time."""

    source: str
    target: str
    line: int
    types_only: bool

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


@cache
def modules() -> dict[str, Path]:
    """All modules of the package by their full names."""
    found = [path for path in ROOT.rglob("*.py") if "node_modules" not in path.parts]
    return {name(path): path for path in found}


def name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> tuple[Import, ...]:
    """Every import, wherever in a module it stands."""
    return tuple(found for module, path in modules().items() for found in imports_of(module, path))


def imports_of(module: str, path: Path) -> list[Import]:
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if is_type_checking(node)
        for inner in ast.walk(node)
        if inner is not node
    }
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return [
        Import(module, target, node.lineno, node in for_types)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for target in targets(node, package)
    ]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def targets(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, base]).rstrip(".")
    found = []
    for alias in node.names:
        full = f"{base}.{alias.name}"
        # The package's own module is loaded before any other of it: its version is no news from above.
        if full != f"{PACKAGE}.__version__":
            found.append(full if full in modules() else base)
    return found


def inside(full: str) -> str:
    """The name without the package's; empty for the package itself."""
    return full.removeprefix(PACKAGE).removeprefix(".")


def unit(full: str) -> str:
    return inside(full).partition(".")[0]


def is_ours(full: str) -> bool:
    return full.partition(".")[0] == PACKAGE


def is_in(full: str, rooms: set[str]) -> bool:
    return any(inside(full) == room or inside(full).startswith(room + ".") for room in rooms)


HEIGHT = {unit: height for height, row in enumerate(LAYERS) for unit in row}


def test_every_module_has_its_layer() -> None:
    assert {unit(module) for module in modules()} - {""} == set(HEIGHT)


def test_imports_go_downward() -> None:
    upward = [
        str(found)
        for found in imports()
        if is_ours(found.source) and is_ours(found.target) and not found.types_only
        if unit(found.source) and unit(found.source) != unit(found.target)
        if HEIGHT.get(unit(found.target), len(LAYERS)) >= HEIGHT[unit(found.source)]
    ]
    assert upward == []


def test_no_circles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in modules()}
    for found in imports():
        # What the package's own module imports, it imports when it is asked to.
        whole = found.target == "hs_notebook.magics.magic"
        if whole and found.source in PARTS_OF_THE_MAGIC and found.types_only:
            continue
        if is_ours(found.target) and found.source not in {found.target, PACKAGE}:
            graph[found.source].add(found.target)
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert set(order) == set(modules())


def test_the_notebook_s_side_and_the_relay_know_nothing_of_each_other() -> None:
    ours = [found for found in imports() if is_ours(found.target)]
    towards = [
        str(i) for i in ours if unit(i.target) == "relay" and unit(i.source) not in KNOW_THE_RELAY | {"relay"}
    ]
    assert towards == []
    known = {unit(i.target) for i in ours if unit(i.source) == "relay"} - {"relay"}
    assert known <= RELAY_KNOWS


def test_rows_are_asked_without_the_magics() -> None:
    """It works in any Python; the package alone tells whether a notebook has them loaded."""
    taken = {i.target for i in imports() if unit(i.source) == "mapping" and unit(i.target) == "magics"}
    assert taken <= {"hs_notebook.magics"}


def test_the_relay_is_imported_late() -> None:
    for module in (name for name in modules() if unit(name) in KNOW_THE_RELAY):
        tree = ast.parse(modules()[module].read_text("utf-8"))
        first = [
            target
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for target in targets(node, PACKAGE)
        ]
        assert not any(unit(target) == "relay" for target in first if is_ours(target))


def test_each_library_has_its_room() -> None:
    libraries = {
        i.target.partition(".")[0] for i in imports() if not is_ours(i.target)
    } - sys.stdlib_module_names
    assert libraries <= set(ROOMS), "a library without a room"
    strays = [
        str(found)
        for found in imports()
        if (rooms := ROOMS.get(found.target.partition(".")[0])) is not None
        if not found.types_only and not is_in(found.source, rooms)
    ]
    assert strays == []


def test_the_pure_layer_is_pure() -> None:
    impure = [str(i) for i in imports() if unit(i.source) in PURE and i.target.partition(".")[0] in IMPURE]
    assert impure == []


def test_modules_are_small() -> None:
    lengths = {module: len(path.read_text("utf-8").splitlines()) for module, path in modules().items()}
    assert {module: length for module, length in lengths.items() if length > 300} == {}


def test_functions_are_small() -> None:
    lengths = {
        f"{module}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {function: length for function, length in lengths.items() if length > 50} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 12


@pytest.mark.parametrize(
    "module", ["", *sorted(PURE), "settings", "ledger", "net.transport", "net.calls", "client", "session"]
)
def test_what_importing_a_module_brings(module: str) -> None:
    """In a process of its own; what happens on `%load_ext` is in test_loading."""
    full = f"{PACKAGE}.{module}".rstrip(".")
    script = f"import sys, {full}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {script}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert set(result.stdout.split()) & LATE == set()


def test_public_names() -> None:
    import hs_notebook

    assert sorted(hs_notebook.__all__) == [
        "Answer",
        "AsyncHolySheep",
        "HolySheep",
        "HolySheepError",
        "Ledger",
        "__version__",
        "roi",
    ]
    assert all(hasattr(hs_notebook, name) for name in hs_notebook.__all__)


def test_a_star_hides_no_builtin() -> None:
    """`hs_notebook.map` is public, but who imports a star means the other one."""
    import builtins

    import hs_notebook

    assert callable(hs_notebook.map)
    assert set(hs_notebook.__all__).isdisjoint(vars(builtins))
