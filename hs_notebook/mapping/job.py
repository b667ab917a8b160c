"""What a run over rows needs to begin, and to begin again."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from hs_notebook.client import AsyncHolySheep, HolySheep
from hs_notebook.errors import HolySheepError, ReplayError, SchemaError, UsageError
from hs_notebook.magics import current
from hs_notebook.mapping.run import Run
from hs_notebook.pricing.limit import amount
from hs_notebook.prompt import ipython, somebody_is_there
from hs_notebook.replay import AnswerFile, Replay, replayed
from hs_notebook.runs.price import Pot, price_of
from hs_notebook.runs.watched import Watched
from hs_notebook.settings import refuse_key

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from decimal import Decimal

    from hs_notebook.answers import Answer
    from hs_notebook.exchange import Exchange
    from hs_notebook.mapping.mapped import Mapped
    from hs_notebook.schemas import Schema
    from hs_notebook.types import ChatRequest


class Job:
    """All that a run needs to begin, and to begin again."""

    def __init__(
        self,
        requests: Mapping[int, ChatRequest],
        schema: Schema | None,
        *,
        client: HolySheep | AsyncHolySheep | None,
        keep: str | os.PathLike[str] | None,
        concurrency: int,
        progress: bool,
    ) -> None:
        if not isinstance(concurrency, int) or concurrency < 1:
            raise UsageError(f"concurrency is a whole number from 1, not {concurrency!r}.")
        before: Counter[str] = Counter()
        self._questions: dict[int, tuple[ChatRequest, int]] = {}  # by row
        for row, request in requests.items():
            prompt = str(request.messages[-1]["content"])
            self._questions[row] = request, before[prompt]
            before[prompt] += 1
        self._left: Decimal | None = None  # of max_cost
        self._schema = schema
        self._concurrency, self._progress = concurrency, progress
        shell = ipython()
        magics = current(shell)
        self._in_kernel = hasattr(shell, "kernel")
        self._page = shell if self._in_kernel and (magics is None or magics.has_widgets) else None
        self._magics = magics if client is None else None
        self._client = self._connected(client, None if keep is None else AnswerFile(keep))
        for request in requests.values():
            refuse_key(request, self._client.credentials.key)

    def _connected(
        self, client: HolySheep | AsyncHolySheep | None, file: AnswerFile | None
    ) -> AsyncHolySheep:
        if isinstance(client, HolySheep):
            client = client.asynchronous
        elif client is None and self._magics is not None:
            client = self._magics.replays.client(file=file)
        elif client is None:
            client = AsyncHolySheep()
        replay = client.replay
        if file is not None:
            replay = Replay(file, "record" if replay is None else replay.mode)
        if replay is None:
            return client
        return client.replaying(replay.accepting(self._fits))

    def _fits(self, answer: Answer) -> bool:
        """Tell whether an answer may be kept: one that does not fit the schema is to be asked again."""
        try:
            return self._schema is None or bool(self._schema.fill(answer) is answer)
        except SchemaError:
            return False

    def begin(self, mapped: Mapped, max_cost: Decimal | float | str | None, *, dry_run: bool) -> None:
        """Ask all rows, or with `dry_run` only say what it may cost; raises as `map` does."""
        if gaps := mapped.gaps:
            used = ", ".join(dict.fromkeys(gaps.values()))
            number, have = len(gaps), "row has" if len(gaps) == 1 else "rows have"
            self._say(f"{number:,} {have} no value for {used}: not asked. .errors names them.")
        if not dry_run:
            self.run(mapped, max_cost)
            return
        self._left = None if max_cost is None else amount(max_cost)
        self._take_kept(mapped)
        self._say(self._price(mapped))

    def run(self, mapped: Mapped, max_cost: Decimal | float | str | None = None) -> None:
        """Ask what is missing; raises as `map` does."""
        if max_cost is not None:
            self._left = amount(max_cost)
        mapped.ended = None
        self._take_kept(mapped)
        if mapped.complete:
            return
        if self._progress:
            self._say(self._price(mapped))
        pot = self._pot()
        run = Run(
            self._client,
            self._questions,
            mapped,
            pot=pot,
            schema=self._schema,
            concurrency=self._concurrency,
            charge=self._charge,
        )
        self._watch(run, len(mapped.missing))
        if self._left is not None:
            self._left -= pot.spent
        self._tell(run, mapped)

    # --- before --------------------------------------------------------------------------------------

    def _take_kept(self, mapped: Mapped) -> None:
        replay = self._client.replay
        for row in mapped.missing if replay is not None else ():
            request, occurrence = self._questions[row]
            if replay is not None and (kept := replay.kept(request, occurrence)) is not None:
                answer = replayed(kept, request)
                if self._fits(answer):
                    mapped.put(row, answer)

    def _price(self, mapped: Mapped) -> str:
        missing = mapped.missing
        of = f" of {len(mapped):,}" if len(missing) < len(mapped) else ""
        what = f"{len(missing):,}{of} {'row' if len(missing) == 1 else 'rows'} for {mapped.model}"
        if not missing or (self._client.replay and self._client.replay.mode == "replay"):
            return f"{what}: nothing is asked."
        requests = [self._questions[row][0] for row in missing]
        calibration = self._magics.session.calibration if self._magics else None
        rate = self._client.requests_per_minute
        minutes = (len(missing) - 1) // rate
        pace = f"; at {rate:,} requests a minute it takes {minutes:,} min or more" if minutes else ""
        return f"{what}: {price_of(requests, self._client.quotes, calibration)}{pace}."

    def _pot(self) -> Pot:
        usd, name, calibration = self._left, "max_cost", None
        if self._magics is not None:
            calibration = self._magics.session.calibration
            if (budget := self._magics.purse.budget) is not None:
                rest = max(0 * budget, budget - self._magics.purse.spent())
                if usd is None or rest < usd:
                    usd, name = rest, "rest of the notebook's budget"
        if self._client.replay is not None and self._client.replay.mode == "replay":
            usd = None
        return Pot(usd, self._client.quotes, name=name, calibration=calibration)

    # --- while it runs, and after --------------------------------------------------------------------

    def _watch(self, run: Run, total: int) -> None:
        watched = somebody_is_there() or self._file.isatty()
        watch = Watched(total, self._file if self._progress else None, watched=watched, shell=self._page)
        try:
            if self._magics is None:
                run.wait(watch)
            else:
                with self._magics.session.going(run):
                    run.wait(watch)
        finally:
            watch.close()
            if self._magics is not None:
                self._magics.purse.say_warning()

    def _charge(self, exchange: Exchange) -> None:
        if self._magics is not None:
            self._magics.session.count(exchange.charge)

    def _tell(self, run: Run, mapped: Mapped) -> None:
        ended = mapped.ended
        if ended is not None and (isinstance(ended, ReplayError) or not run.answered):
            raise ended
        left, answered = len(mapped.missing), mapped.answered
        if ended is not None:
            why = str(ended) if isinstance(ended, HolySheepError) else "It was stopped."
            self._say(f"{why} {answered:,} of {len(mapped):,} rows have their answer; .resume() goes on.")
        elif left:
            self._say(f"{left:,} of {len(mapped):,} rows went wrong; .resume() asks them again.")

    @property
    def _file(self) -> TextIO:
        return sys.stdout if self._in_kernel else sys.stderr  # a page shows standard error in red

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it: no answer may be lost for that
            self._file.write(f"{line}\n")
            self._file.flush()
