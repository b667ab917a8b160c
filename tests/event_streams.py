"""Streams of events and what a reader makes of them, by the HTML standard (section 9.2.6).

Each case is the bytes of a whole stream and the events that are dispatched by them, in families by the rule
that they try: first what the standard says in words, then what implementations get wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Event(NamedTuple):
    """What is dispatched: the data, the type, the last event id, and a reconnection time its block set."""

    data: str
    type: str = "message"
    id: str = ""
    retry: int | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """`last_id` is what a client that reconnects after the stream would send."""

    family: str
    data: bytes
    events: tuple[Event, ...]
    last_id: str


E = Event
A, B, C = E("a"), E("b"), E("c")
BOM = b"\xef\xbb\xbf"
DIGITS = "retry: ١٢\nretry: ²\nretry: ３\ndata: a\n\n"

FAMILIES: dict[str, dict[str, tuple[bytes, list[Event]]]] = {
    "messages": {
        "nothing": (b"", []),
        "one event": (b"data: a\n\n", [A]),
        "two events": (b"data: a\n\ndata: b\n\n", [A, B]),
        "the same twice": (b"data: a\n\ndata: a\n\n", [A, A]),
        "all fields": (b"id: 1\nevent: e\nretry: 5\ndata: a\n\n", [E("a", "e", "1", 5)]),
        "all fields, the data first": (b"data: a\nretry: 5\nevent: e\nid: 1\n\n", [E("a", "e", "1", 5)]),
        "fields between lines of data": (b"data: a\nevent: e\ndata: b\n\n", [E("a\nb", "e")]),
        "JSON": (b'data: {"a": [1, "b: c"]}\n\n', [E('{"a": [1, "b: c"]}')]),
        "JSON over lines": (b'data: {\ndata: "a": 1\ndata: }\n\n', [E('{\n"a": 1\n}')]),
        "the end of a model's answer": (b"data: a\n\ndata: [DONE]\n\n", [A, E("[DONE]")]),
        "what looks like a field within data": (b"data: data: a\n\n", [E("data: a")]),
        "a long line": (b"data: " + b"x" * 5000 + b"\n\n", [E("x" * 5000)]),
    },
    "ends of lines": {
        "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [A, B]),
        "CR": (b"data: a\r\rdata: b\r\r", [A, B]),
        "all three, one after another": (
            b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\r",
            [E("a\nb\nc"), E("d")],
        ),
        "CR LF is one end, LF CR two": (b"data: a\n\rdata: b\r\n\n", [A, B]),
        "CR, then CRLF": (b"data: a\r\r\ndata: b\r\r\n", [A, B]),
        "CRLF, then CR": (b"data: a\r\n\rdata: b\r\n\r", [A, B]),
        "LF, then CRLF": (b"data: a\n\r\ndata: b\n\r\n", [A, B]),
        "CRLF in one event": (b"data: a\r\ndata: b\r\n\r\n", [E("a\nb")]),
        "CR in one event": (b"data: a\rdata: b\r\r", [E("a\nb")]),
        "CRLF after a field without a colon": (b"data\r\ndata: a\r\n\r\n", [E("\na")]),
        "CR after a field without a colon": (b"data\rdata: a\r\r", [E("\na")]),
        "three CR": (b"data: a\r\r\rdata: b\r\r", [A, B]),
        "CR at the very end": (b"data: a\n\r", [A]),
        "a blank CRLF at the very end": (b"data: a\n\r\n", [A]),
        "a lone CR begins the stream": (b"\rdata: a\n\n", [A]),
        "a line separator is text": ("data: a\u2028b\n\n".encode(), [E("a\u2028b")]),
        "a paragraph separator is text": ("data: a\u2029b\n\n".encode(), [E("a\u2029b")]),
        "a next line is text": ("data: a\u0085b\n\n".encode(), [E("a\u0085b")]),
        "a vertical tab is text": (b"data: a\x0bb\n\n", [E("a\x0bb")]),
        "a form feed is text": (b"data: a\x0cb\n\n", [E("a\x0cb")]),
        "separators of files and records are text": (b"data: a\x1c\x1d\x1eb\n\n", [E("a\x1c\x1d\x1eb")]),
        "a line separator ends no line of its own": ("data: a\n\u2028\ndata: b\n\n".encode(), [E("a\nb")]),
    },
    "byte order mark": {
        "at the start": (BOM + b"data: a\n\n", [A]),
        "alone": (BOM, []),
        "before a comment": (BOM + b":\ndata: a\n\n", [A]),
        "before a blank line": (BOM + b"\ndata: a\n\n", [A]),
        "before an id": (BOM + b"id: 1\ndata: a\n\n", [E("a", id="1")]),
        "before a CR": (BOM + b"\rdata: a\r\r", [A]),
        "only one goes": (BOM * 2 + b"data: a\n\ndata: b\n\n", [B]),
        "before the second event it is part of a name": (
            b"data: a\n\n" + BOM + b"data: b\n\ndata: c\n\n",
            [A, C],
        ),
        "after a blank line it is part of a name": (b"\n" + BOM + b"data: a\n\ndata: b\n\n", [B]),
        "within data it is text": (b"data: " + BOM + b"a\n\n", [E("\ufeffa")]),
        "instead of the space it is text": (b"data:" + BOM + b"a\n\n", [E("\ufeffa")]),
        "half of one is none": (b"\xef\xbbdata: a\n\ndata: b\n\n", [B]),
        "that of UTF-16 is none": (b"\xfe\xffdata: a\n\ndata: b\n\n", [B]),
    },
    "comments": {
        "before, between and after": (b": hello\n:\ndata: a\n:no\n\n: late\n\n", [A]),
        "alone": (b":\n\n", []),
        "that keep alive": (b": ping\n\n: ping\n\ndata: a\n\n: ping\n\n", [A]),
        "within an event": (b"data: a\n: no\ndata: b\n\n", [E("a\nb")]),
        "that look like data": (b":data: x\ndata: a\n\n", [A]),
        "with a NUL": (b":\0\ndata: a\n\n", [A]),
        "of two colons": (b"::\ndata: a\n\n", [A]),
        "long ones": (b":" + b"x" * 3000 + b"\ndata: a\n\n", [A]),
        "that are no UTF-8": (b":\xff\ndata: a\n\n", [A]),
        "between an id and its event": (b"id: 1\n: no\ndata: a\n\n", [E("a", id="1")]),
    },
    "names of fields": {
        "without a colon": (b"data\n\n", [E("")]),
        "two without a colon": (b"data\ndata\n\n", [E("\n")]),
        "unknown ones": (b"foo: 1\ndata: a\nbar\n\n", [A]),
        "only unknown ones": (b"foo: 1\nbar\n\ndata: a\n\n", [A]),
        "in capitals": (b"DATA: x\nData: y\ndata: a\n\n", [A]),
        "with a space before": (b" data: x\ndata: a\n\n", [A]),
        "with a space behind": (b"data : x\ndata: a\n\n", [A]),
        "with a tab behind": (b"data\t: x\ndata: a\n\n", [A]),
        "with a NUL behind": (b"data\0: x\ndata: a\n\n", [A]),
        "with a NUL before": (b"\0data: x\ndata: a\n\n", [A]),
        "cut short": (b"dat: x\ndata: a\n\n", [A]),
        "drawn out": (b"datas: x\ndata: a\n\n", [A]),
        "of a space alone": (b" \ndata: a\n\n", [A]),
        "of a space alone end no event": (b"data: a\n \ndata: b\n\n", [E("a\nb")]),
        "empty ones are comments": (b": data: x\ndata: a\n\n", [A]),
        "ids and types in capitals": (b"ID: 1\nEvent: e\ndata: a\n\n", [A]),
        "of headers": (b"content-type: text/plain\ndata: a\n\n", [A]),
        "that only end like one": (b"metadata: x\nmyid: 1\ndata: a\n\n", [A]),
    },
    "values": {
        "without a space": (b"data:a\n\n", [A]),
        "only one space goes": (b"data:  a\n\n", [E(" a")]),
        "of two spaces": (b"data:  \n\n", [E(" ")]),
        "a tab stays": (b"data:\ta\n\n", [E("\ta")]),
        "a space after a tab stays": (b"data:\t a\n\n", [E("\t a")]),
        "a no-break space stays": ("data:\u00a0a\n\n".encode(), [E("\u00a0a")]),
        "spaces at the end stay": (b"data: a  \n\n", [E("a  ")]),
        "a tab at the end stays": (b"data: a\t\n\n", [E("a\t")]),
        "a space before CRLF stays": (b"data: a \r\n\r\n", [E("a ")]),
        "colons in it": (b"data: a: b:\n\n", [E("a: b:")]),
        "that is a colon": (b"data::\n\n", [E(":")]),
        "that is a colon, behind a space": (b"data: :\n\n", [E(":")]),
        "quoted": (b'data: "a"\n\n', [E('"a"')]),
        "a NUL in data": (b"data: a\0b\n\n", [E("a\0b")]),
        "a NUL alone": (b"data: \0\n\n", [E("\0")]),
        "a backslash is one": (b"data: a\\nb\n\n", [E("a\\nb")]),
        "one space goes from an id": (b"id:  1\ndata: a\n\n", [E("a", id=" 1")]),
        "one space goes from a type": (b"event:  e\ndata: a\n\n", [E("a", " e")]),
        "without a space, of all fields": (b"id:1\nevent:e\nretry:5\ndata:a\n\n", [E("a", "e", "1", 5)]),
    },
    "data": {
        "lines are joined": (b"data: a\ndata: b\n\n", [E("a\nb")]),
        "three lines": (b"data: a\ndata: b\ndata: c\n\n", [E("a\nb\nc")]),
        "empty": (b"data:\n\n", [E("")]),
        "empty, with a space": (b"data: \n\n", [E("")]),
        "an empty line between": (b"data: a\ndata:\ndata: b\n\n", [E("a\n\nb")]),
        "an empty line first": (b"data:\ndata: a\n\n", [E("\na")]),
        "an empty line last": (b"data: a\ndata:\n\n", [E("a\n")]),
        "three empty lines": (b"data\ndata:\ndata: \n\n", [E("\n\n")]),
        "empty, then some": (b"data\n\ndata: a\n\n", [E(""), A]),
        "empty events one after another": (b"data\n\ndata\n\ndata:\n\n", [E(""), E(""), E("")]),
        "some after an unknown field": (b"data: a\nx\ndata: b\n\n", [E("a\nb")]),
    },
    "no data, no event": {
        "a type alone": (b"event: x\n\ndata: a\n\n", [A]),
        "an id alone": (b"id: 1\n\n", []),
        "an id alone, then data": (b"id: 7\n\ndata: a\n\n", [E("a", id="7")]),
        "a reconnection time alone": (b"retry: 5\n\n", []),
        "an unknown field alone": (b"x: y\n\n", []),
        "blank lines": (b"\n\n\ndata: a\n\n\n\n", [A]),
        "blank lines only": (b"\n\n\n\n", []),
        "blank lines of CRLF": (b"\r\n\r\n\r\ndata: a\r\n\r\n\r\n", [A]),
        "a blank line after an event with an id": (b"id: 1\ndata: a\n\n\n\n", [E("a", id="1")]),
        "a comment after an event with an id": (b"id: 1\ndata: a\n\n:\n\n", [E("a", id="1")]),
        "an event with a type and an id, but no data": (
            b"event: x\nid: 1\n\ndata: a\n\n",
            [E("a", id="1")],
        ),
        "a type in vain after an id": (b"id: 1\ndata: a\n\nevent: x\n\n", [E("a", id="1")]),
    },
    "unfinished": {
        "an event without its blank line": (b"data: a\n\ndata: b\n", [A]),
        "a line without its end": (b"data: a\n\ndata: b", [A]),
        "half a name": (b"data: a\n\nda", [A]),
        "only one": (b"data: a", []),
        "a CR without another": (b"data: a\n\ndata: b\r", [A]),
        "a CRLF without another": (b"data: a\n\ndata: b\r\n", [A]),
        "with an id": (b"id: 1\ndata: a\n\nid: 2\ndata: b\n", [E("a", id="1")]),
        "an id alone": (b"data: a\n\nid: 2\n", [A]),
        "half a character": (b"data: a\n\ndata: \xe2\x82", [A]),
        "a type": (b"data: a\n\nevent: x", [A]),
    },
    "types": {
        "for one event": (b"event: x\ndata: a\n\ndata: b\n\n", [E("a", "x"), B]),
        "after the data": (b"data: a\nevent: x\n\n", [E("a", "x")]),
        "the last one counts": (b"event: x\nevent: y\ndata: a\n\n", [E("a", "y")]),
        "an empty one is the usual": (b"event:\ndata: a\n\n", [A]),
        "an empty one takes back": (b"event: x\nevent:\ndata: a\n\n", [A]),
        "one without a colon takes back": (b"event: x\nevent\ndata: a\n\n", [A]),
        "in capitals it is another": (b"event: Message\ndata: a\n\n", [E("a", "Message")]),
        "message": (b"event: message\ndata: a\n\n", [A]),
        "error": (b"event: error\ndata: a\n\n", [E("a", "error")]),
        "of two words": (b"event: x y\ndata: a\n\n", [E("a", "x y")]),
        "with a NUL": (b"event: x\0\ndata: a\n\n", [E("a", "x\0")]),
        "not of English": ("event: größe\ndata: a\n\n".encode(), [E("a", "größe")]),
    },
    "ids": {
        "one stays": (b"id: 1\ndata: a\n\ndata: b\n\n", [E("a", id="1"), E("b", id="1")]),
        "numbered": (
            b"id: 1\ndata: a\n\nid: 2\ndata: b\n\ndata: c\n\n",
            [E("a", id="1"), E("b", id="2"), E("c", id="2")],
        ),
        "numbered, CRLF": (b"data: a\n\nid: 1\r\ndata: b\r\n\r\n", [A, E("b", id="1")]),
        "numbered, in two lines": (b"data: a\n\nid: 1\ndata: b\ndata: c\n\n", [A, E("b\nc", id="1")]),
        "after the data": (b"data: a\nid: 1\n\n", [E("a", id="1")]),
        "the last one counts": (b"id: 1\nid: 2\ndata: a\n\n", [E("a", id="2")]),
        "an empty one takes back": (b"id: 1\ndata: a\n\nid:\ndata: b\n\n", [E("a", id="1"), B]),
        "one without a colon takes back": (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [E("a", id="1"), B]),
        "a NUL makes it none": (b"id: 1\nid: 2\x003\ndata: a\n\n", [E("a", id="1")]),
        "a NUL first": (b"id: \0\ndata: a\n\n", [A]),
        "a NUL last": (b"id: 1\0\ndata: a\n\n", [A]),
        "a NUL does not take back": (
            b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
            [E("a", id="1"), E("b", id="1")],
        ),
        "numbered, with a NUL": (b"data: a\n\nid: 1\0\ndata: b\n\n", [A, B]),
        "taken back and set again": (
            b"id: 1\ndata: a\n\nid\n\nid: 3\ndata: b\n\n",
            [E("a", id="1"), E("b", id="3")],
        ),
        "taken back in a block of its own": (
            b"id: 1\ndata: a\n\nid\n\ndata: b\n\n",
            [E("a", id="1"), B],
        ),
        "not of English": ("id: …\ndata: a\n\n".encode(), [E("a", id="…")]),
        "with spaces": (b"id: 1 2 \ndata: a\n\n", [E("a", id="1 2 ")]),
        "with a colon": (b"id: a:1\ndata: a\n\n", [E("a", id="a:1")]),
        "zero": (b"id: 0\ndata: a\n\n", [E("a", id="0")]),
        "a long one": (b"id: " + b"9" * 300 + b"\ndata: a\n\n", [E("a", id="9" * 300)]),
    },
    "reconnection times": {
        "for its event": (b"retry: 1500\ndata: a\n\ndata: b\n\n", [E("a", retry=1500), B]),
        "after the data": (b"data: a\nretry: 3\n\n", [E("a", retry=3)]),
        "zero": (b"retry: 0\ndata: a\n\n", [E("a", retry=0)]),
        "leading zeros": (b"retry: 007\ndata: a\n\n", [E("a", retry=7)]),
        "the last one counts": (b"retry: 1\nretry: 2\ndata: a\n\n", [E("a", retry=2)]),
        "nonsense does not take back": (b"retry: 1\nretry: x\ndata: a\n\n", [E("a", retry=1)]),
        "negative": (b"retry: -1\ndata: a\n\n", [A]),
        "with a plus": (b"retry: +1\ndata: a\n\n", [A]),
        "with a point": (b"retry: 1.5\ndata: a\n\n", [A]),
        "with an exponent": (b"retry: 1e3\ndata: a\n\n", [A]),
        "with an underscore": (b"retry: 1_000\ndata: a\n\n", [A]),
        "with a second space": (b"retry:  1\ndata: a\n\n", [A]),
        "with a space behind": (b"retry: 1 \ndata: a\n\n", [A]),
        "with a tab": (b"retry:\t1\ndata: a\n\n", [A]),
        "with letters": (b"retry: 1000x\ndata: a\n\n", [A]),
        "hexadecimal": (b"retry: 0x10\ndata: a\n\n", [A]),
        "empty": (b"retry:\ndata: a\n\n", [A]),
        "without a colon": (b"retry\ndata: a\n\n", [A]),
        "digits of other scripts": (DIGITS.encode(), [A]),
        "with a NUL": (b"retry: 1\0\ndata: a\n\n", [A]),
    },
    "UTF-8": {
        "characters of two, three and four bytes": ("data: aé€😀\n\n".encode(), [E("aé€😀")]),
        "alone": ("data: 😀\n\n".encode(), [E("😀")]),
        "joined ones stay apart": ("data: e\u0301\n\n".encode(), [E("e\u0301")]),
        "a byte that begins nothing": (b"data: a\xffb\n\n", [E("a\ufffdb")]),
        "one that goes on from nothing": (b"data: a\x80b\n\n", [E("a\ufffdb")]),
        "cut at the end of a line": (b"data: a\xc3\n\n", [E("a\ufffd")]),
        "cut in the middle": (b"data: \xe2\x82|\n\n", [E("\ufffd|")]),
        "three of four bytes": (b"data: \xf0\x9f\x98|\n\n", [E("\ufffd|")]),
        "overlong": (b"data: \xc0\xaf\n\n", [E("\ufffd\ufffd")]),
        "half a surrogate pair": (b"data: \xed\xa0\xbd\n\n", [E("\ufffd\ufffd\ufffd")]),
        "beyond the last character": (b"data: \xf4\x90\x80\x80\n\n", [E("\ufffd" * 4)]),
        "Latin-1": ("data: é\n\n".encode("latin-1"), [E("\ufffd")]),
        "an id that is none": (b"id: \xff\ndata: a\n\n", [E("a", id="\ufffd")]),
        "a type that is none": (b"event: \xff\ndata: a\n\n", [E("a", "\ufffd")]),
        "a name that is none": (b"\xffdata: x\ndata: a\n\n", [A]),
        "the last character of all": ("data: \U0010ffff\n\n".encode(), [E("\U0010ffff")]),
        "what is no character": ("data: \ufffe\n\n".encode(), [E("\ufffe")]),
    },
}
#: What is sent to reconnect, where it is not the id of the last event.
_LAST_IDS = {
    ("no data, no event", "an id alone"): "1",
}


def _case(family: str, name: str, data: bytes, events: list[Event]) -> Case:
    last = events[-1].id if events else ""
    return Case(family=family, data=data, events=tuple(events), last_id=_LAST_IDS.get((family, name), last))


CASES = {
    f"{family}: {name}": _case(family, name, data, events)
    for family, cases in FAMILIES.items()
    for name, (data, events) in cases.items()
}
