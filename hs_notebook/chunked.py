"""Chunked transfer coding (RFC 9112, 7.1), with as few chunks as the reads that brought them.

A model's server sends each token as a chunk of its own, and what the HTTP library does for a chunk costs more
than all that is done with the token. So whole chunks that came together are handed to it as one. It goes on
parsing all there is: what stands here leaves alone what it does not know for sure.
"""

from __future__ import annotations

import re

_LONGEST_HEAD = 64 * 1024  # bytes
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{1,8}\r?")
_STREAM = re.compile(rb"HTTP/1\.1 200[ \r]")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
# Who reads these fields another way may find another body; and a compressed one that breaks loses all of the
# piece in which it does.
_UNSURE = re.compile(
    rb"(?<!\r)\n|\r(?!\n)|\n[ \t]|\n(?:content-length|content-encoding|transfer-encoding)", re.IGNORECASE
)


class ChunkJoiner:
    """Joins the chunks of one connection's replies: `feed` what was read, `restart` for each request."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Expect the head of a reply."""
        self._head: bytes | None = b""  # None: what comes is no head
        self._joins = False
        self._owed = 0  # bytes to come of a chunk that has begun, with the end of its line
        self._held = b""  # of a line that is not whole

    def feed(self, data: bytes) -> bytes:
        """Return what is to be parsed in place of `data`; nothing where a line is held until it is whole."""
        if self._joins:
            return self._joined(data)
        if self._head is None:
            return data
        head, end, body = (self._head + data).partition(b"\r\n\r\n")
        if not end:
            self._head = head if len(head) < _LONGEST_HEAD else None
            return data
        self._head, self._joins = None, _is_chunked(head + b"\r\n")
        return data[: len(data) - len(body)] + self._joined(body) if self._joins else data

    def rest(self) -> bytes:
        """Return what is held, when nothing more comes."""
        held, self._held = self._held, b""
        return held

    def _joined(self, data: bytes) -> bytes:
        data, self._held = self._held + data, b""
        begin = at = min(self._owed, len(data))
        self._owed -= begin
        chunks = []
        while (line := _SIZE.match(data, at)) and (size := int(line[1], 16)):
            end = line.end() + size
            if data[end : end + 2] != b"\r\n":
                break
            chunks.append(data[line.end() : end])
            at = end + 2
        joined = b"".join(chunks)
        whole = b"%x\r\n%b\r\n" % (len(joined), joined) if len(chunks) > 1 else data[begin:at]
        return data[:begin] + whole + self._tail(data[at:])

    def _tail(self, tail: bytes) -> bytes:
        """Return what follows the last whole chunk, as far as it may be parsed now."""
        if not tail:
            return tail
        if line := _SIZE.match(tail):
            size = int(line[1], 16)
            missing = line.end() + size + 2 - len(tail)
            self._joins = size > 0 and missing > 0  # else it is the last, or broken
            self._owed = max(missing, 0)
        elif _SIZE_BEGUN.fullmatch(tail):
            self._held, tail = tail, b""
        else:
            self._joins = False
        return tail


def _is_chunked(head: bytes) -> bool:
    """Tell whether a head leaves no doubt that the body is chunked, whoever reads it."""
    if not _STREAM.match(head):
        return False
    rest, fields = _CHUNKED.subn(b"", head)
    return fields == 1 and not _UNSURE.search(rest)
