"""What must hold for any bytes: a target takes some and raises where it does not.

None of them has a strategy or a library of its own: hypothesis and atheris drive the same functions.
"""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import random
import re
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hs_notebook.errors import (
    BudgetError,
    ConfigurationError,
    EventTooLargeError,
    HolySheepError,
    UsageError,
)
from hs_notebook.interpolation import interpolate
from hs_notebook.pricing.files import builtin, read_book, user_hosts, user_rows
from hs_notebook.pricing.limit import limit_for
from hs_notebook.pricing.price import AMOUNTS, Price
from hs_notebook.pricing.quotes import Quotes
from hs_notebook.recording import outcome_of
from hs_notebook.relay.asked import read_asked, read_asked_in_short
from hs_notebook.relay.replies import Refused
from hs_notebook.relay.resume.numbering import EventTooLarge, Numbering
from hs_notebook.relay.usage import WithoutUsage
from hs_notebook.types import ChatRequest, Usage
from hs_notebook.wire.assembler import Assembler
from hs_notebook.wire.chunks import decode_chunk, decode_completion, decode_models
from hs_notebook.wire.ending import Ending
from hs_notebook.wire.sse import ServerSentEvent, SSEDecoder
from hs_notebook.wire.whole import as_chunk, as_completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hs_notebook.answers import Answer
    from hs_notebook.pricing.book import PriceBook

MIB = 1_048_576
DAY = date(2026, 11, 24)
REQUEST = ChatRequest.of("gpt-4.1", [{"role": "user", "content": "count to three"}])
STATES = {"complete", "truncated", "stopped", "error"}


def holds(what: bool, *told: object) -> None:
    """Like `assert`, which a driver that compiles this anew may leave out."""
    if not what:
        raise AssertionError(*told)


def one_line(error: BaseException) -> None:
    holds(len(str(error).splitlines()) == 1, "an error is not one line", str(error))


def cuts(seed: int, data: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    dice = random.Random(seed)
    places = sorted(dice.randint(0, len(data)) for _ in range(dice.randint(1, 9)))
    return [data[start:end] for start, end in pairwise([0, *places, len(data)])]


def single(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


# --- the decoder ---------------------------------------------------------------------------------


def fed(pieces: Iterable[bytes], size: int = MIB) -> tuple[list[ServerSentEvent], str, bool]:
    """All events, the last id, and whether the decoder refused an event for its size."""
    reading = SSEDecoder(size)
    events: list[ServerSentEvent] = []
    try:
        for piece in pieces:
            events += reading.feed(piece)
    except EventTooLargeError as error:
        return [*events, *error.before], reading.last_event_id, True
    return events, reading.last_event_id, False


def read_slowly(data: bytes) -> list[ServerSentEvent]:
    """The standard's own steps over whole text, with no thought of cuts, sizes or speed."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    events, last_id, said, kind, new_id, retry = [], "", "", "", "", None
    *lines, _unfinished = re.split("\r\n|\r|\n", text)
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            last_id = new_id
            if said:
                said = said.removesuffix("\n")
                events.append(ServerSentEvent(said, kind or "message", last_id, retry))
            said, kind, retry = "", "", None
        elif name == "data":
            said += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            new_id = value
        elif name == "retry" and re.fullmatch("[0-9]{1,15}", value):
            retry = int(value)
    return events


def decoder(data: bytes) -> None:
    """However the bytes are cut, the same events, and those of the standard; also where one is too large."""
    seed, stream = data[:1] or b"\0", data[1:]
    holds(fed([stream]) == (read_slowly(stream), fed([stream])[1], False), "not the standard's events")
    frames = re.split(b"(?<=\n\n)", stream)  # whole frames take the short ways
    for size in (MIB, 20, 8):
        whole = fed([stream], size)
        for pieces in (cuts(seed[0], stream), single(stream), frames):
            holds(fed(pieces, size) == whole, "a cut changes the events", size, pieces)


# --- answers -------------------------------------------------------------------------------------


class Clock:
    """Time that goes on a little each time somebody looks."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


def quotes() -> Quotes:
    return Quotes(builtin(), "api.holysheep.ai")


def assembler(data: bytes) -> None:
    """Each line is the data of a frame: what was added is what is kept, in exactly one state."""
    building = Assembler(REQUEST, quotes=quotes(), clock=Clock())
    ending, said = Ending(), ""
    error: HolySheepError | None = None
    for line in data.split(b"\n"):
        frame = line.decode("utf-8", "replace")
        if frame == "[DONE]":
            ending.done = True
            break
        try:
            chunk = decode_chunk(frame)
            said += building.add(chunk)
            holds(building.text == said, "the text is not what was added")
            ending.see(chunk)
        except HolySheepError as failure:
            error = failure
            break
    if error is None:
        try:
            ending.check()
        except HolySheepError as failure:
            error = failure
    building.done = ending.done
    _finished(building, said, None, stopped=True)
    _finished(building, said, error)


def _finished(building: Assembler, said: str, error: HolySheepError | None, *, stopped: bool = False) -> None:
    try:
        answer = building.finish(stopped=stopped, error=error)
    except HolySheepError as failure:
        holds(failure is error and not said, "an answer with text is lost")
        one_line(failure)
        return
    holds(answer.text == said, "the answer is not what was added")
    holds(not stopped or answer.state == "stopped", answer.state)
    answer_holds(answer)
    if stopped or error is not None:
        holds(answer.state != "complete", "what was stopped or failed is complete")


def answer_holds(answer: Answer) -> None:
    """What holds for any answer: one state, sane figures, and it can be kept."""
    receipt, usage = answer.receipt, answer.receipt.usage
    holds(receipt.state in STATES, receipt.state)
    holds(answer.alternatives[0] == answer.text, "the first alternative is another")
    holds(len(receipt.note.splitlines()) <= 1, "a note is not one line", receipt.note)
    counted = [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]
    for details in (usage.prompt_tokens_details, usage.completion_tokens_details):
        if details is not None:
            parts = [getattr(details, name) for name in details.__struct_fields__]
            counted += [part for part in parts if part is not None]
    holds(all(type(count) is int and count >= 0 for count in counted), usage)
    costs = receipt.costs
    for amount in (costs.input, costs.output, costs.low, costs.high, costs.known):
        holds(amount is None or (amount.is_finite() and amount >= 0), "no amount of money", costs)
    if costs.low is not None and costs.high is not None and costs.known is not None:
        holds(costs.low <= costs.known <= costs.high, "the cost is not within its interval", costs)
    charge = quotes().charge(receipt)
    holds(charge.is_finite() and charge >= 0, "no charge", charge)
    for seconds in (receipt.ttft, receipt.duration, receipt.tokens_per_second):
        holds(math.isnan(seconds) or seconds >= 0, "time goes back", receipt)
    json.dumps(receipt.as_dict(), allow_nan=False)
    outcome_of(receipt).columns()
    back = pickle.loads(pickle.dumps(answer))
    holds((back, back.receipt.as_dict()) == (answer, receipt.as_dict()), "pickled it is another")
    completion = as_completion(answer)
    holds(completion.choices[0].message.content == answer.text, "as a completion it says something else")


def whole(data: bytes) -> None:
    """A reply in one piece: an answer, or one of our errors in one line."""
    body, ending = data[1:], Ending()
    building = Assembler(REQUEST, quotes=quotes(), clock=Clock())
    error: HolySheepError | None = None
    try:
        if data[:1] == b"s":
            chunks = ending.read(SSEDecoder().feed(body))
        else:
            chunks = [as_chunk(decode_completion(body))]
            ending.take(chunks[0])
        said = "".join(map(building.add, chunks))
        holds(said == building.text, "the text is not what was added")
        ending.check()
    except HolySheepError as failure:
        error = failure
    _finished(building, building.text, error)
    try:
        decode_models(body)
    except HolySheepError as failure:
        one_line(failure)


# --- prompts -------------------------------------------------------------------------------------

_LEFT, _RIGHT = "\ue000", "\ue001"  # around each value, and nowhere else


class Trap:
    """Has all by which an object of the user's could run code when it is only looked at."""

    def __init__(self, ran: list[str]) -> None:
        self.__dict__["_ran"] = ran
        self.__dict__["plain"] = Value("{plain} of a trap")

    @property
    def danger(self) -> str:
        self._ran.append("property")
        return "ran"

    def method(self) -> str:
        self._ran.append("method")
        return "ran"

    def __getattr__(self, name: str) -> str:
        self._ran.append(f"__getattr__ {name}")
        return "ran"

    def __getitem__(self, key: object) -> str:
        self._ran.append(f"__getitem__ {key!r}")
        return "ran"

    def __call__(self) -> str:
        self._ran.append("__call__")
        return "ran"

    def __str__(self) -> str:
        return marked("a trap with {name}")


class Value:
    """Shows a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return marked(self._text)


class Rows(list[Any]):
    """Shows itself as a value does."""

    def __str__(self) -> str:
        return marked("rows {name}")


class Fields(dict[str, Any]):
    """Shows itself as a value does, and would make what is missing."""

    ran: list[str]

    def __missing__(self, key: object) -> str:
        self.ran.append(f"__missing__ {key!r}")
        return "ran"

    def __str__(self) -> str:
        return marked("fields {name}")


def marked(text: str) -> str:
    return f"{_LEFT}{text}{_RIGHT}"


def interpolation(data: bytes) -> None:
    """Nothing runs, nothing is filled in twice, and what is no field of a known name stays as it is."""
    prompt = data.decode("utf-8", "replace").replace(_LEFT, "").replace(_RIGHT, "")
    ran: list[str] = []
    fields = Fields({"id": Value("{a}{name}"), "a b": Trap(ran)})
    fields.ran = ran
    names: dict[str, Any] = {
        "name": Value("{other}"), "other": Value("{{name}}"), "a": Value("{'}"), "ü": Value("ü"),
        "trap": Trap(ran), "rows": Rows([fields, Trap(ran)]), "In": Rows([Value(""), Value("{In[1]}")]),
        "Out": fields, "_own": Value("ü"), "__builtins__": {"open": "hidden"}, "function": marked,
        "kind": Trap, "module": re,
    }  # fmt: skip
    try:
        filled = interpolate(prompt, names, longest=None)
    except UsageError as error:
        one_line(error)
        filled = prompt
    holds(ran == [], "code ran", ran)
    literal = re.split(f"{_LEFT}[^{_LEFT}{_RIGHT}]*{_RIGHT}", filled)
    between = r"\{\w[^{}\n]*\}".join(map(re.escape, literal))
    holds(re.fullmatch(between, prompt) is not None, "what is no field was changed", filled)
    values = re.findall(f"{_LEFT}([^{_LEFT}{_RIGHT}]*){_RIGHT}", filled)
    known = {"", "{other}", "{{name}}", "{'}", "{In[1]}", "ü", "{a}{name}", "rows {name}", "fields {name}"}
    holds(set(values) <= known | {"{plain} of a trap", "a trap with {name}"}, "filled in twice", values)


# --- prices --------------------------------------------------------------------------------------

_USAGES = (
    Usage(prompt_tokens=1000, completion_tokens=500, total_tokens=1500),
    Usage(prompt_tokens=10**12, completion_tokens=10**12, total_tokens=2 * 10**12),
    Usage(
        prompt_tokens=7,
        completion_tokens=3,
        total_tokens=10,
        estimated=True,
        input_low=0.9,
        input_high=1.1,
        output_low=0.5,
        output_high=2.0,
    ),
    Usage(),
)


def prices(data: bytes) -> None:
    """Any price file: a book whose figures are prices, or one of our errors in one line."""
    text = data.decode("utf-8", "replace")
    rows: list[Price] = []
    hosts: dict[str, str] = {}
    try:
        rows += read_book(text, "prices.toml")
    except ConfigurationError as error:
        one_line(error)
    try:
        hosts = user_hosts(text, "prices.toml")
        rows += user_rows(text, "prices.toml", DAY)
    except ConfigurationError as error:
        one_line(error)
    for row in rows:
        given = [getattr(row, name) for name in AMOUNTS]
        holds(all(amount is None or (amount.is_finite() and amount >= 0) for amount in given), row)
    book = builtin().with_rows(rows, hosts)
    for host in ("api.holysheep.ai", *list(hosts)[:3]):
        for row in (*rows[:5], next(iter(builtin()))):
            _priced(book, host, row)


def _priced(book: PriceBook, host: str, row: Price) -> None:
    asking = Quotes(book, host)
    for at in (DAY, date.min, date.max):
        asked = (book.find(row.model, row.seller, at), book.official(row.model, at))
        for found in (*asked, asking.price(row.model, at)):
            if found is not None:
                holds("\n" not in found.warning(at), "a warning is not one line", found)
    for usage in _USAGES:
        costs = asking.cost(row.model, usage)
        for amount in (costs.known, costs.low, costs.high):
            holds(amount is None or (amount.is_finite() and amount >= 0), "no amount of money", costs)


# --- the relay -----------------------------------------------------------------------------------


def requests(data: bytes) -> None:
    """Any body: refused in one line, or understood as it will be read upstream, and priced."""
    for read in (read_asked, read_asked_in_short):
        try:
            asked = read(data)
        except Refused as refused:
            holds(refused.status == 400, refused.status)
            one_line(refused)
            continue
        body = json.loads(asked.body)
        holds(body["model"].strip() == asked.request.model, "another model is priced")
        holds(tuple(body["messages"]) == asked.request.messages, "other messages are priced")
        stream = body.get("stream", False)
        holds(stream is asked.stream or not isinstance(stream, bool), body)
        if asked.counted is not None:
            counted = json.loads(asked.counted)
            holds(counted.pop("stream_options")["include_usage"] is True, counted)
            holds(counted == {name: body[name] for name in body if name != "stream_options"}, "another body")
        try:
            limit = limit_for(asked.request, quotes(), Decimal(1))
            limit.check(streaming=asked.stream)
            holds(limit.worst.is_finite() and limit.worst >= 0, "no worst price")
        except (BudgetError, UsageError) as error:
            one_line(error)


class _Sink:
    def __init__(self) -> None:
        self.said = b""

    async def write(self, data: bytes) -> None:
        self.said += data

    async def end(self, *, whole: bool) -> None:
        self.whole = whole


async def _without_usage(pieces: Iterable[bytes]) -> bytes:
    sink = _Sink()
    between = WithoutUsage(sink)  # type: ignore[arg-type]
    for piece in pieces:
        await between.write(piece)
    await between.end(whole=True)
    return sink.said


def filters(data: bytes) -> None:
    """What the relay does to a stream changes no event but in its number, and leaves out only the usage."""
    seed, stream = data[:1] or b"\0", data[1:]
    _numbered(seed[0], stream)
    # A byte order mark behind a usage that opens the stream would be the first thing in what is left.
    stream = stream.replace(b"\xef\xbb\xbf", b"")
    left = asyncio.run(_without_usage([stream]))
    for pieces in (cuts(seed[0], stream), single(stream)):
        again = asyncio.run(_without_usage(pieces))
        holds(fed([again]) == fed([left]), "a cut changes what is left out", pieces)
        holds(b'"usage"' in stream or again == stream, "something else is left out")
    if b'"usage"' not in stream:
        holds(left == stream, "something else is left out")
    kept, all_of_them = iter(fed([left])[0]), fed([stream])[0]
    following = next(kept, None)
    for event in all_of_them:
        if following is not None and (event.data, event.event) == (following.data, following.event):
            following = next(kept, None)
        else:
            holds('"usage"' in event.data and '"choices"' in event.data, "an event is lost", event)
    holds(following is None, "an event was made", following)


def _numbered(seed: int, stream: bytes) -> None:
    plain = read_slowly(stream)
    for pieces in ([stream], cuts(seed, stream), single(stream)):
        numbering = Numbering()
        try:
            numbered = [event for piece in pieces for event in numbering.feed(piece)]
        except EventTooLarge:
            return
        back = fed([b"".join(numbered)])[0]
        holds([(e.data, e.event) for e in back] == [(e.data, e.event) for e in plain], "the meaning changes")
        holds([e.id for e in back] == [str(n) for n in range(1, len(plain) + 1)], "the numbers have gaps")
        # A resumed client begins anywhere between two events, and the log parts them at blank lines.
        holds(all(event.count(b"\n\n") == 1 and event.endswith(b"\n\n") for event in numbered), numbered)
        later = fed([b"".join(numbered[1:])])[0]
        holds([(e.data, e.event) for e in later] == [(e.data, e.event) for e in plain[1:]], "no fresh start")


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (decoder, assembler, whole, interpolation, prices, requests, filters)
}
