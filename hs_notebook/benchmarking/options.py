"""The options of ``bench``, in a notebook and on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hs_notebook.benchmarking.numbers import NUMBERS, OUT_OF_REACH, PARALLEL, REQUESTS, TOKENS, WARMUP
from hs_notebook.errors import HolySheepError, UsageError

if TYPE_CHECKING:
    import argparse

    from hs_notebook.benchmarking.benchmark import Benchmark
    from hs_notebook.benchmarking.plan import Plan
    from hs_notebook.display.table import Table

DESCRIPTION = """\
How fast models answer, how often they fail and what that costs: for each model
some requests to warm up, then requests one at a time, the models by turns, and
at the end a peak of several at once. The price is said before it starts."""

_REST = """\
what is measured, for each model, one at a time and at the peak:
  First token  seconds from sending to the first word: median (p50) and p95
  Tokens/s     output tokens after the first, over the time they took: median, p5
  Total        seconds from sending to the end: median
  Errors       requests that failed, also where another attempt mended that
  Cost         USD, as the relay bills; "at least" where a part of it is unknown
  In brackets are 95 % intervals. A peak is one burst, whatever its size, and has
  none. Waits for the client's limits and between attempts are in no time.

what it costs:
  At most (warmup + requests + parallel) answers of so many tokens from each model:
  unless said {answers} of {tokens}. What an attempt before costs that brought no
  reply comes on top. --dry-run says the price, and asks nothing.
  --max-cost, and the budget of a notebook, hold for the whole run; what may be
  billed and brought no answer counts as the most that it can be.

how it ends:
  Ctrl-C, or Stop, asks no more and keeps what is measured; so do {row} requests in
  a row, of all models, that do not reach the relay. A refused key or an unknown
  model ends a run at once. Status in a terminal: 0 for a whole run, 1 for one that
  ended early or could not be saved or compared, 2 for a mistaken option, 130 for
  an interrupt.

examples:
  {prog} gpt-4.1 --dry-run
  {prog} gpt-4.1,deepseek-v3.2 --requests 20 --tokens 150 --max-cost 0.50
  {prog} gpt-4.1 --save monday.json
  {prog} gpt-4.1 --save tuesday.json --compare monday.json
"""


def manual(prog: str) -> dict[str, Any]:
    """Return what ``--help`` says beside the options, for a parser that leaves its lines as they are."""
    answers = sum(number.default for number in (WARMUP, REQUESTS, PARALLEL))
    rest = _REST.format(prog=prog, answers=answers, tokens=TOKENS.default, row=OUT_OF_REACH)
    return {"description": DESCRIPTION, "epilog": rest}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``bench`` takes."""
    add = parser.add_argument

    def add_number(name: str, meaning: str) -> None:
        default = NUMBERS[name].default
        add(f"--{name}", type=int, default=default, metavar="N", help=f"{meaning}; default: {default}")

    add("model", nargs="*", metavar="MODEL", help="the models, with spaces or commas between them")
    add_number("requests", "one at a time to each model")
    add_number("tokens", "the longest answer, in tokens")
    add_number("parallel", "at once in the peak, 0 for none")
    add_number("warmup", "before, which do not count")
    add("--prompt", metavar="TEXT", help="what is asked; default: for a long essay")
    add("--max-cost", metavar="USD", help="stop the run where all of it would cost more")
    add(
        "--save",
        metavar="FILE",
        help="write it to a .json, .csv (the requests), .md (the table) or .svg file, or all into a folder",
    )
    add("--compare", metavar="FILE", help="show what differs from a run that was saved as .json")
    add("--dry-run", action="store_true", help="only say what it may cost, and ask nothing")


def plan_of(options: argparse.Namespace, default: str) -> Plan:
    """Return the plan that options name; raises `UsageError`."""
    from hs_notebook.benchmarking.plan import PROMPT, Plan

    return Plan.of(
        options.model or default,
        requests=options.requests,
        tokens=options.tokens,
        parallel=options.parallel,
        warmup=options.warmup,
        prompt=PROMPT if options.prompt is None else options.prompt,
    )


def other_of(options: argparse.Namespace, plan: Plan) -> Benchmark | None:
    """Return the run to compare with, if one is named.

    Raises `UsageError` for a file that holds none, or none of the plan's models, and `ConfigurationError`
    where nothing could be saved: before anything is paid.
    """
    from hs_notebook.benchmarking import files
    from hs_notebook.benchmarking.benchmark import Benchmark

    if options.save:
        files.try_writing(options.save)
    if not options.compare:
        return None
    other = Benchmark.load(options.compare)
    if not other.samples:
        raise UsageError(f"{options.compare} has no measurements.", hint="Name another file.")
    other.check_comparable(plan.models)
    return other


class Ending(NamedTuple):
    """What was done with a run: `lines` to tell, among them of trouble, and what differs from another run."""

    lines: tuple[str, ...] = ()
    trouble: bool = False
    difference: Table | None = None


def ending(benchmark: Benchmark, other: Benchmark | None, options: argparse.Namespace) -> Ending:
    """Write a run where that is asked for, and compare it; raises nothing, as the run is paid for."""
    lines, trouble, difference = [], False, None
    if options.save:
        try:
            lines.append(f"Saved: {', '.join(str(path) for path in benchmark.save(options.save))}.")
        except Exception as error:  # noqa: BLE001 - also a name that no file can have
            lines.append(f"Not saved: {_told(error)}")
            trouble = True
    if other is not None:
        try:
            difference = benchmark.compare(other)
        except Exception as error:  # noqa: BLE001 - a file may come from anybody
            lines.append(f"Not compared: {_told(error)}")
            trouble = True
    return Ending(tuple(lines), trouble, difference)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, HolySheepError) else f"{type(error).__name__}."


def keywords(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `measure` takes of the options."""
    return {"max_cost": options.max_cost, "dry_run": options.dry_run}
