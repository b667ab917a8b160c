"""The ledger's tables, and how a file of an older version becomes one of today's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hs_notebook.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

# What OpenTelemetry's conventions for generative AI name bears their name, with underscores for dots.
# `cost_usd`, `cost_known_usd` and `charged_usd` are exact; `cost_pico` and `charged_pico` are what is known
# of the cost, and the charge, in 1e-12 USD, or -1 where that is no whole number. A charge is what counts
# against a budget: what a pending call may cost at most, and what a settled one came to. `local_day` is the
# day where the user was at the time of the call.
_CALLS = """
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    local_day TEXT NOT NULL,
    state TEXT NOT NULL,
    gen_ai_operation_name TEXT,
    gen_ai_provider_name TEXT,
    gen_ai_request_model TEXT NOT NULL,
    gen_ai_request_max_tokens INTEGER,
    gen_ai_request_temperature REAL,
    gen_ai_response_model TEXT,
    gen_ai_response_id TEXT,
    gen_ai_response_finish_reasons TEXT,
    gen_ai_usage_input_tokens INTEGER,
    gen_ai_usage_output_tokens INTEGER,
    gen_ai_usage_cache_read_input_tokens INTEGER,
    gen_ai_usage_cache_creation_input_tokens INTEGER,
    gen_ai_usage_reasoning_output_tokens INTEGER,
    usage_estimated INTEGER NOT NULL DEFAULT 0,
    cost_usd TEXT,
    cost_known_usd TEXT,
    cost_pico INTEGER,
    charged_usd TEXT,
    charged_pico INTEGER,
    seller TEXT,
    simulated INTEGER NOT NULL DEFAULT 0,
    time_to_first_token REAL,
    duration REAL,
    error_type TEXT,
    server_address TEXT,
    notebook TEXT NOT NULL,
    host_name TEXT,
    process_id INTEGER NOT NULL
)
"""
_TEXTS = "CREATE TABLE texts (id INTEGER PRIMARY KEY REFERENCES calls, prompt TEXT, answer TEXT)"

# Each holds all that a sum needs, in the order of one grouping: a hundred thousand calls add up without a
# look at their rows.
_SUMMED = """started_at, state, cost_usd, cost_pico, charged_pico, usage_estimated, gen_ai_usage_input_tokens,
    gen_ai_usage_output_tokens, gen_ai_usage_cache_read_input_tokens"""
_MODEL = "gen_ai_response_model, gen_ai_request_model"
_INDEXES = (
    f"CREATE INDEX calls_by_model ON calls ({_MODEL}, simulated, {_SUMMED})",
    f"CREATE INDEX calls_by_day ON calls (local_day, simulated, {_SUMMED})",
    f"CREATE INDEX calls_by_notebook ON calls (notebook, simulated, {_SUMMED})",
    f"""CREATE INDEX calls_of_odd_cost ON calls (
        started_at, local_day, notebook, {_MODEL}, simulated, cost_pico, cost_usd, cost_known_usd,
        charged_pico, charged_usd
    ) WHERE cost_pico < 0 OR charged_pico < 0""",
    "CREATE INDEX calls_pending ON calls (id) WHERE state = 'pending'",
)

# Who asked, where a relay serves several: OpenTelemetry's `user.name`. A call through a relay on the user's
# own machine stands here twice, as the caller's and as the relay's, so every sum is of either.
_USERS = (
    "ALTER TABLE calls ADD COLUMN user_name TEXT NOT NULL DEFAULT ''",
    "DROP INDEX calls_by_model",
    "DROP INDEX calls_by_day",
    "DROP INDEX calls_by_notebook",
    "DROP INDEX calls_of_odd_cost",
    f"CREATE INDEX calls_by_model ON calls ({_MODEL}, simulated, user_name, {_SUMMED})",
    f"CREATE INDEX calls_by_day ON calls (local_day, simulated, user_name, {_SUMMED})",
    f"CREATE INDEX calls_by_notebook ON calls (notebook, simulated, user_name, {_SUMMED})",
    f"CREATE INDEX calls_by_user ON calls (user_name, simulated, {_SUMMED})",
    f"""CREATE INDEX calls_of_odd_cost ON calls (
        started_at, local_day, notebook, user_name, {_MODEL}, simulated, cost_pico, cost_usd, cost_known_usd,
        charged_pico, charged_usd
    ) WHERE cost_pico < 0 OR charged_pico < 0""",
)

STEPS: tuple[Sequence[str], ...] = ((_CALLS, _TEXTS, *_INDEXES), _USERS)
"""What leads from each version to the next; the first from an empty file. What was released never changes."""

COLUMNS = (
    "id", "started_at", "ended_at", "state", "gen_ai_operation_name", "gen_ai_provider_name",
    "gen_ai_request_model", "gen_ai_request_max_tokens", "gen_ai_request_temperature",
    "gen_ai_response_model", "gen_ai_response_id", "gen_ai_response_finish_reasons",
    "gen_ai_usage_input_tokens", "gen_ai_usage_output_tokens", "gen_ai_usage_cache_read_input_tokens",
    "gen_ai_usage_cache_creation_input_tokens", "gen_ai_usage_reasoning_output_tokens", "usage_estimated",
    "cost_usd", "cost_known_usd", "charged_usd", "seller", "simulated", "time_to_first_token", "duration",
    "error_type", "server_address", "notebook", "user_name", "host_name", "process_id",
)  # fmt: skip
"""What is shown of a call, in this order; the rest of the columns serve the sums alone."""
TEXTS = ("prompt", "answer")


def version_of(connection: Connection) -> int:
    """Return the version of the file's tables; 0 is an empty file."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def upgrade(connection: Connection, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """Bring the tables to the version of `steps`, within the transaction that is open.

    Raises `ConfigurationError` for a file that a later version wrote, or another program.
    """
    have = version_of(connection)
    if have == len(steps):
        return
    if have > len(steps):
        raise ConfigurationError("is of a later version of hs_notebook", hint="Update hs_notebook.")
    if have == 0 and not is_empty(connection):
        raise ConfigurationError("is another program's database", hint="Name another file.")
    for step in steps[have:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(steps)}")


def is_empty(connection: Connection) -> bool:
    """Tell whether a file holds no table yet."""
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
