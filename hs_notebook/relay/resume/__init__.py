"""Streams that outlive their connection: numbered, kept for a while, and followed by whoever comes back.

**Asking.** `POST /v1/chat/completions` with `stream: true` and the header `X-Stream-Resume: 1`. The reply has
that header, too, and `X-Stream-Id`, which nobody can guess, and each event begins with a line `id: N`:
integers from 1, one for each event, `[DONE]` too. The data of the events stay as they are; an upstream's own
ids, its comments and what else dispatches no event are left out. Without the header a reply passes through
untouched, and so it does over HTTP/1.0, where nobody can tell a body that broke from a whole one.

**Asking again.** `Idempotency-Key: KEY` (1 to 255 characters) with that header: a repeated POST of the same
client joins the stream that runs, or has ended and is still kept, from its first event; nothing is sent
upstream and nothing is billed. A first attempt that was refused is forgotten, so the next one begins anew.
The same key with another body is refused with 422 (`IDEMPOTENCY_MISMATCH`).

**Going on.** `GET /v1/streams/{id}` with `Last-Event-ID: N` goes on with N+1, without it with the first event
that is kept, and follows until the end. The same relay key is needed, else it is 404 (`STREAM_NOT_FOUND`).
Events that are gone are 410 (`EVENTS_LOST`), a malformed number 400, one beyond the last 416. A comment
every 15 seconds of silence keeps the connection. At one worker a stream has at most 8 followers, of whom the
oldest is cut, and a key 10 for each answer that it may read at a time; beyond that is 429.

**Leaving.** `DELETE /v1/streams/{id}` cancels the upstream at once and forgets the stream: 204. Who leaves
before the reply began knows no id yet: `DELETE /v1/streams` with the `Idempotency-Key` does the same. Without
it the upstream goes on for `linger` seconds after the last client went away, and is then cancelled. It waits
where its events would otherwise push out of the buffer what nobody has read.

**Ending.** A stream that ended stays for `kept` seconds. Where the upstream broke off, the body ends as it
should but has neither a finish reason nor `[DONE]`: the relay has no more, and resuming is of no use. Where
the relay or the connection broke, the body does not end as it should, and resuming is. Where the upstream
does not end (an event of 1 MiB, 64 MiB in all), or a budget does, the last event is an error that says so.

The events of a stream are kept in memory, all but the latest compressed, up to `buffer` bytes, and a reply
that is no stream if it is no larger. Of all that ended the oldest go where they take more than `buffers`.

With a Redis they are mirrored there, so that any worker serves all of the above; see
`hs_notebook.relay.state.streams`. Where a worker falls silent, who follows elsewhere is cut after 5 seconds;
who comes back waits 30 for it, and is then told the end, as of an upstream that broke off.
"""
