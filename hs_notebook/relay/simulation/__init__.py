"""The simulated relay: a real HTTP server on loopback that answers as the real relay would.

It serves only where it was asked for, and every reply carries `"system_fingerprint": "simulated"`.

The modules, from the bottom: `passages` and `article` (the text), `models` (speeds), `requests` (body and
prompt directives), `sample` and `answering` (the answer), `frames` (bytes), `faults`, `stats`, `stream`
(pace and cancelling), `app` (routes), `serve` (running it).
"""
