r"""The paragraphs of the simulated answers: data, written for this project.

Between them they show all that an answer may hold: headings, lists, a table, code, emphasis, links and
mathematics. Each kind has several variants of which an answer takes one.
"""

from __future__ import annotations

OPENINGS = (
    "A streamed answer is one that you can start reading before it is finished. This is how it works.",
    "While these words appear one by one, small machinery is at work. This is a short tour of it.",
    "Waiting is easier when something happens. That is the idea of streaming; the rest is *bookkeeping*.",
)

_EXPLANATION = (
    """## From request to first word

The client sends **one** request and keeps the connection open. The server answers at once with the header
`content-type: text/event-stream` and then writes a small
[event](https://html.spec.whatwg.org/multipage/server-sent-events.html) for every piece of text. Nothing is
polled and nothing is asked twice: the answer simply *grows* until it is complete.""",
    """## What a stream is made of

A stream of [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html) is plain
text. Each event is a line that begins with `data:` and ends with an empty line, so that even `curl` can
show it. The simplicity is deliberate: what can be read by eye can be **debugged** by eye.""",
    """## Why the first token matters most

People judge a reply by its beginning. A model that starts after a fifth of a second *feels* quick even
when it writes slowly, and one that thinks for three seconds feels slow even when it writes a page in a
blink. That is why `time to first token` and `tokens per second` are **two** figures and not one
(much as web pages have [several](https://web.dev/articles/ttfb)).""",
)

_BULLETS = (
    """### Three things worth knowing

- **Order is kept.** TCP delivers the frames in the order in which they were written; they need no numbers.
- **Chunks are not frames.** A network chunk may hold half a frame, or seven; only the empty line counts.
- **Silence is ambiguous.** The model may be thinking or the connection dead, hence the idle timeout:
  - short enough that nobody waits in vain,
  - long enough for a model that likes to *ponder*.""",
    """### What can go wrong

- The connection breaks in the middle: what has arrived is kept and marked `truncated`.
- The reader has seen enough and presses **Stop**: the connection closes, and no further token is paid for.
- The server is busy and says `429`: the client waits as long as it is told, then tries *once more*.""",
    """### Good manners of a client

- Show the **first** piece at once and gather the later ones; twenty updates a second are plenty for the eye.
- Never render the whole answer again for each token, or the work grows with the *square* of its length.
- Say plainly how the answer ended: `complete`, `truncated`, `stopped` or `error`.""",
)

_STEPS = (
    """### The life of one token

1. The model picks it and hands it to the server.
2. The server wraps it in a frame of JSON, about two hundred bytes for *four* letters.
3. The frame crosses the network and waits for nobody.
4. The client unwraps it, adds it to the answer and **forgets** the frame.
5. The page shows it with the others that came in the same twentieth of a second.""",
    """### How to measure a stream

1. Note the time just before the request is sent; that is `t0`.
2. Note the time of the first frame with *text* in it. A frame that only names the role does not count.
3. Note the time of the last one, and take the number of tokens from the `usage` frame.
4. Divide, and say **how many** runs the figure comes from.""",
    """### Reading a frame

1. Collect bytes until an empty line has come.
2. Drop the lines that begin with a colon: they only keep the connection awake.
3. Join what stands behind each `data:` and read it as JSON.
4. When it says `[DONE]`, the answer is over, and **not** a moment before.""",
)

_TABLE = (
    """### What a frame may carry

| field | example | meaning |
|:------|:-------:|:--------|
| `delta.content` | `"Hel"` | the next piece of text |
| `finish_reason` | `"stop"` | why the answer ends |
| `usage` | `512` | tokens, on the **last** frame only |
| `system_fingerprint` | `"simulated"` | who is speaking |""",
    """### Two figures, four moods

| first token | tokens/s | it feels like |
|------------:|---------:|:--------------|
| 0.1 s | 200 | a **conversation** |
| 0.1 s | 20 | somebody typing |
| 3 s | 200 | a form being processed |
| 3 s | 20 | *tea time* |""",
    """### Status codes and what to do

| status | meaning | again? |
|:------:|:--------|:-------|
| 200 | the answer comes | no need |
| 401 | the key is not known | no, mend the key |
| 402 | the balance is used up | no, top up |
| 429 | too many requests | yes, after `Retry-After` |
| 503 | the server is in trouble | yes, with *patience* |""",
)

_CODE = (
    '''### The same in Python

```python
import json


def pieces(lines):
    """Yield the pieces of text in a stream of server-sent events."""
    for line in lines:
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        frame = json.loads(line[6:])
        for choice in frame["choices"]:
            yield choice["delta"].get("content", "")
```

Joined together, `"".join(pieces(lines))` is the answer.''',
    """### A stopwatch for streams

```python
from time import perf_counter

start = perf_counter()
first = None
count = 0
for piece in stream:
    if piece and first is None:
        first = perf_counter()  # only text counts
    count += 1
rate = (count - 1) / (perf_counter() - first)
print(f"first token after {first - start:.3f} s, then {rate:.0f} tokens/s")
```

Note the `count - 1`: between *n* tokens there is one gap fewer.""",
    """### Asking with a notebook

```python
%load_ext hs_notebook
```

and then, in a cell of its own, `%%holysheep gpt-4.1` with the prompt below it. From Python it reads

```python
from hs_notebook import HolySheep

client = HolySheep()
for chunk in client.chat.completions.create(
    model="gpt-4.1",
    messages=[{"role": "user", "content": "Explain server-sent events."}],
    stream=True,
):
    print(chunk.choices[0].delta.content or "", end="")
```""",
)

_MATHEMATICS = (
    r"""### How long it takes

With $n$ tokens, a first token after $t_1$ seconds and a rate of $r$ tokens per second, the whole answer takes

$$
T = t_1 + \frac{n - 1}{r}
$$

For $n = 500$, $t_1 = 0.42$ and $r = 68$ that is $T \approx 7.8$ seconds, of which the reader waits idly for
*five per cent*.""",
    r"""### Why rendering must be gathered

Whoever draws the whole answer again for each of $n$ tokens draws

$$
\sum_{k=1}^{n} k = \frac{n\,(n + 1)}{2}
$$

tokens in all, which is $O(n^2)$. Drawing only what is new takes $O(n)$: for $n = 50\,000$ that is the
difference between **a second** and **seven hours**.""",
    r"""### How sure a small sample is

If none of $n$ requests failed, the true error rate $p$ may still be as high as the $p$ that solves

$$
(1 - p)^n = 0.05 \quad\Longrightarrow\quad p \approx \frac{3}{n}
$$

so that a hundred successes in a row only show that $p$ is below about *three per cent*.""",
)

_ASIDE = (
    """> An answer that was stopped is not an answer that failed. Somebody had read **enough**.

---""",
    """> *Latency is a feeling, throughput is a figure.* Keep an eye on both.

---""",
    """> What a machine cannot promise it should at least `measure`.

---""",
)

PASSAGES = (_EXPLANATION, _BULLETS, _STEPS, _TABLE, _CODE, _MATHEMATICS, _ASIDE)

CLOSINGS = (
    "**In short:** open one connection, read line by line, show early, stop promptly, and count honestly.",
    "**In short:** the first token is for the reader's patience, all the others are for the *purpose*.",
    "**In short:** a stream is a promise kept in small pieces, and `[DONE]` is the signature under it.",
)
