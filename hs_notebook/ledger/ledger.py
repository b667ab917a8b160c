"""The ledger: every call, pending before it is sent, then its outcome."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from hs_notebook.errors import ConfigurationError
from hs_notebook.ledger.entries import Opening, Outcome, plain, spelt
from hs_notebook.ledger.file import LedgerFile
from hs_notebook.ledger.moments import since_stamp
from hs_notebook.ledger.rows import page
from hs_notebook.ledger.spending import By, Since, Spending, Spent, spending
from hs_notebook.ledger.unsettled import Unsettled, forgive, host_name, unsettled
from hs_notebook.ledger.usual import Usual, usual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Connection

T = TypeVar("T")

_BUSY_SECONDS = 5.0
_BUSY_AGAIN_SECONDS = 0.25  # after a failure: a lock that lasts must not delay every call
_PAGE = 500

_INSERT = """
    INSERT INTO calls (
        state, host_name, process_id, started_at, local_day, gen_ai_operation_name, gen_ai_provider_name,
        gen_ai_request_model, gen_ai_request_max_tokens, gen_ai_request_temperature, server_address, seller,
        notebook, user_name, simulated, charged_usd, charged_pico
    ) VALUES (
        'pending', :host_name, :process_id, :started_at, :local_day, :gen_ai_operation_name,
        :gen_ai_provider_name, :gen_ai_request_model, :gen_ai_request_max_tokens, :gen_ai_request_temperature,
        :server_address, :seller, :notebook, :user_name, :simulated, :charged_usd, :charged_pico
    )
"""
# Only by the process that began it, and only once: a forked child, or a file put in this one's place, changes
# no row that is not its own.
_UPDATE = """
    UPDATE calls SET
        ended_at = :ended_at, state = :state, gen_ai_response_model = :gen_ai_response_model,
        gen_ai_response_id = :gen_ai_response_id,
        gen_ai_response_finish_reasons = :gen_ai_response_finish_reasons,
        gen_ai_usage_input_tokens = :gen_ai_usage_input_tokens,
        gen_ai_usage_output_tokens = :gen_ai_usage_output_tokens,
        gen_ai_usage_cache_read_input_tokens = :gen_ai_usage_cache_read_input_tokens,
        gen_ai_usage_cache_creation_input_tokens = :gen_ai_usage_cache_creation_input_tokens,
        gen_ai_usage_reasoning_output_tokens = :gen_ai_usage_reasoning_output_tokens,
        usage_estimated = :usage_estimated, cost_usd = :cost_usd, cost_known_usd = :cost_known_usd,
        cost_pico = :cost_pico, charged_usd = :charged_usd, charged_pico = :charged_pico,
        seller = COALESCE(:seller, seller), simulated = MAX(:simulated, simulated),
        time_to_first_token = :time_to_first_token, duration = :duration, error_type = :error_type
    WHERE id = :id AND state = 'pending' AND process_id = :process_id
"""


class Ledger:
    """A SQLite file of calls, shared by all notebooks; by default in the user's data folder.

    With `keep_text` prompts and answers are kept, too; else no word of them is. `timeout` is how long (in
    seconds) a call waits for another process. What records a call never raises: where the file cannot be
    written the call goes on, and `warning` says so once. All else raises `ConfigurationError`, one line.
    """

    def __init__(
        self, path: Path | None = None, *, keep_text: bool = False, timeout: float = _BUSY_SECONDS
    ) -> None:
        self.path = _default_path() if path is None else path
        self.keep_text = keep_text
        self._file = LedgerFile(self.path, timeout=timeout)
        self._failing = False
        self._warned = False
        self._warnings: deque[str] = deque()
        self._under_way: set[int] = set()  # rows of this process: whatever its clock says, they are not lost

    def begin(self, opening: Opening) -> int | None:
        """Write a call down before it is sent; returns its row, or None where that failed."""
        return self._write(lambda connection: self._insert(connection, opening))

    def settle(self, row: int | None, outcome: Outcome, *, opening: Opening | None = None) -> bool:
        """Write down how the call of a row ended, and tell whether that is kept. A second outcome is ignored.

        With `opening` a call whose row could not be written before it was sent is written now.
        """
        if row is None and opening is None:
            return False
        return bool(self._write(lambda connection: self._settle(connection, row, outcome, opening)))

    def fail(self, row: int | None, error_type: str, *, opening: Opening | None = None) -> bool:
        """Settle a call that brought nothing; `error_type` is the name of the error's class."""
        return self.settle(row, Outcome(state="error", error_type=error_type), opening=opening)

    def check(self) -> None:
        """Raise `ConfigurationError` where the file cannot be written; makes it where there is none."""
        with self._file.writing():
            pass

    def warning(self) -> str | None:
        """Return what went wrong with the file, in one line, the first time; None ever after."""
        with suppress(IndexError):
            return self._warnings.popleft()
        return None

    def spending(
        self,
        by: By = "model",
        *,
        since: Since = None,
        notebook: str | None = None,
        user: str | None = None,
        relay: bool = False,
    ) -> Spending:
        """Add up the calls that began since a moment (or within a span of time), of one `notebook` or all.

        They are those that were made here or, with `relay` or of one `user` (the name of a relay's key),
        those that a relay here handed on: what was asked here through it stands in the ledger twice. By
        `"user"`, where neither is said, each has a row of its own.
        """
        with self._file.reading() as connection:
            return spending(connection, by, since, notebook=notebook, user=user, relay=relay)

    def spent(self, *, since: Since = None, notebook: str | None = None, user: str | None = None) -> Spent:
        """Add up all of it in one figure."""
        return self.spending("notebook", since=since, notebook=notebook, user=user).total

    def usage_of(self, notebook: str | None = None) -> Usual | None:
        """Return what the calls of a notebook, or of all, are like; None where there are none."""
        with self._file.reading() as connection:
            return usual(connection, notebook)

    def unsettled(self, *, since: Since = None) -> tuple[Unsettled, ...]:
        """Return the calls whose kernel ended before their answer did, the earliest first."""
        with self._file.reading() as connection:
            return unsettled(connection, since, self._under_way)

    def forgive(self, user: str) -> int:
        """Charge a relay's key nothing for its unsettled calls; returns how many there were.

        Raises `ConfigurationError` where the file cannot be written.
        """
        with self._file.writing() as connection:
            return forgive(connection, plain(user))

    def rows(
        self, *, since: Since = None, notebook: str | None = None, text: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the calls, the earliest first, as plain JSON values by column.

        Costs are exact text in USD, times ISO 8601 text in UTC, null is unknown. `text` adds `prompt` and
        `answer`. The file is open only from page to page: who reads slowly keeps no call waiting.
        """
        start, wanted = since_stamp(since), None if notebook is None else plain(notebook)
        last = 0
        while True:
            with self._file.reading() as connection:
                found = page(connection, after=last, most=_PAGE, since=start, notebook=wanted, text=text)
            yield from found
            if len(found) < _PAGE:
                return
            last = found[-1]["id"]

    def _write(self, work: Callable[[Connection], T]) -> T | None:
        timeout = min(self._file.timeout, _BUSY_AGAIN_SECONDS) if self._failing else None
        try:
            with self._file.writing(timeout) as connection:
                result = work(connection)
        except ConfigurationError as error:
            self._failing = True
            if not self._warned:
                self._warned = True
                hint = f" {error.hint}" if error.hint else ""
                self._warnings.append(f"{error.message} Calls go on, but are not recorded.{hint}")
            return None
        self._failing = False
        return result

    def _insert(self, connection: Connection, opening: Opening) -> int | None:
        here = {"host_name": host_name(), "process_id": os.getpid()}
        row = connection.execute(_INSERT, opening.columns() | here).lastrowid
        if row is not None:
            self._under_way.add(row)
        if self.keep_text and opening.prompt is not None:
            connection.execute("INSERT INTO texts (id, prompt) VALUES (?, ?)", (row, spelt(opening.prompt)))
        return row

    def _settle(
        self, connection: Connection, row: int | None, outcome: Outcome, opening: Opening | None
    ) -> bool:
        if row is None and opening is not None:
            row = self._insert(connection, opening)
        if row is not None:
            self._under_way.discard(row)
        values = outcome.columns() | {"id": row, "process_id": os.getpid()}
        if not connection.execute(_UPDATE, values).rowcount:
            return False
        if self.keep_text and outcome.answer is not None:
            text = {"id": row, "answer": spelt(outcome.answer)}
            connection.execute("INSERT OR IGNORE INTO texts (id) VALUES (:id)", text)
            connection.execute("UPDATE texts SET answer = :answer WHERE id = :id", text)
        return True


def _default_path() -> Path:
    import platformdirs

    return platformdirs.user_data_path("hs_notebook", appauthor=False) / "ledger.db"
