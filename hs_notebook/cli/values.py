"""What options take, read for `argparse`: each raises `ArgumentTypeError`."""

from __future__ import annotations

import argparse
import math


def count(text: str) -> int:
    """Read a whole number of 1 or more."""
    return _whole(text, 1)


def number(text: str) -> int:
    """Read a whole number of 0 or more."""
    return _whole(text, 0)


def port(text: str) -> int:
    """Read the number of a port."""
    return _whole(text, 0, 65535, "is no port: it is a whole number from 0 to 65535")


def _whole(text: str, least: int, most: int = 10**9 - 1, is_not: str = "") -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
        is_not = is_not or f"is no whole number of {least} or more"
        raise argparse.ArgumentTypeError(f"{text!a} {is_not}")
    return int(text)


def seconds(text: str) -> float:
    """Read a span of time."""
    return _decimal(text, "a number of seconds", least=0.0)


def speed(text: str) -> float:
    """Read how many times as fast."""
    return _decimal(text, "a speed above 0", least=math.ulp(0.0), most=math.inf)


def temperature(text: str) -> float:
    """Read how much is left to chance."""
    return _decimal(text, "a temperature from 0 to 2", least=0.0, most=2.0)


def _decimal(text: str, what: str, *, least: float, most: float = 1e9) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!a} is not {what}")
    return value
