"""Whether the Redis of a shared state is there, for who is about to begin."""

from __future__ import annotations

from urllib.parse import urlsplit

_PATIENCE = 2.0  # seconds to connect, and to answer


def absence(url: str) -> str:
    """Return that the Redis at a URL does not answer, where, and why; nothing where it does."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)
    try:
        with Redis.from_url(
            url, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE, retry=once
        ) as redis:
            redis.ping()
    except (RedisError, OSError) as error:
        return f"The Redis at {_place(url)} does not answer ({type(error).__name__})"
    return ""


def _place(url: str) -> str:
    """Where it is, without what else a URL holds: a password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
