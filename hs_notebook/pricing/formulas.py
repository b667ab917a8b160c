"""The calculator's formulas, F1 to F8, each a small function of exact numbers.

Money is USD, prices are USD per million tokens, and shares are fractions of 1. None is unknown, and so is
what an unknown number has a part in.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

MILLION = Decimal(1_000_000)
HOURS = Decimal("730.5")  # in a month
MONTHS = 12
FAILED_INPUT = Decimal(1)  # how much of a failed attempt's input is billed
FAILED_OUTPUT = Decimal("0.5")


class Amounts(NamedTuple):
    """Prices in USD per million tokens; None is unknown."""

    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    output: Decimal | None = None


class Attempts(NamedTuple):
    """What becomes of a task, on average: `success` tasks of 1, `tries` made, `failed` of them."""

    success: Decimal
    tries: Decimal
    failed: Decimal


def part(tokens: Decimal | int, price: Decimal | None) -> Decimal | None:
    """Return what tokens cost; no tokens cost nothing, whatever their price."""
    if not tokens:
        return Decimal(0)
    return None if price is None else tokens * price / MILLION


def input_cost(tokens: Decimal, cached: Decimal, written: Decimal, price: Amounts) -> Decimal | None:
    """F1: c_in = (I(1−h−w)·p_in + I·h·p_cr + I·w·p_cw)/10⁶; an unknown price of the cache is the input's."""
    return parts_cost(tokens * (1 - cached - written), tokens * cached, tokens * written, price)


def parts_cost(
    plain: Decimal | int, read: Decimal | int, written: Decimal | int, price: Amounts
) -> Decimal | None:
    """F1 in tokens instead of shares: what of the input is new, read from a cache, and written to one."""
    return total(
        part(plain, price.input),
        part(read, first(price.cache_read, price.input)),
        part(written, first(price.cache_write, price.input)),
    )


def scaled(price: Amounts, factor: Decimal) -> Amounts:
    """F1: prices with a batch's discount taken in, times 1 − batch_share·discount; or a share of them."""
    return Amounts(*(None if one is None else one * factor for one in price))


def total(*parts: Decimal | None) -> Decimal | None:
    """Return the sum, which is unknown where a part is."""
    added = Decimal(0)
    for one in parts:
        if one is None:
            return None
        added += one
    return added


def difference(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """F4: saving = B − A."""
    return None if one is None or other is None else one - other


def share_of(saving: Decimal | None, before: Decimal | None) -> Decimal | None:
    """F4: (B − A)/B as a fraction; None where nothing was paid before."""
    return None if saving is None or not before else saving / before


def attempts(error_rate: Decimal, retries: Decimal) -> Attempts:
    """F2: success = 1 − e^(r+1), tries E = success/(1−e), failed F = E − success."""
    if not error_rate:
        return Attempts(Decimal(1), Decimal(1), Decimal(0))
    success = 1 - error_rate ** (retries + 1)
    tries = success / (1 - error_rate)
    return Attempts(success, tries, tries - success)


def task_cost(cost_in: Decimal | None, cost_out: Decimal | None, made: Attempts) -> Decimal | None:
    """F2: success·c + F(β_in·c_in + β_out·c_out), with β_in 1 and β_out 0.5."""
    if cost_in is None or cost_out is None:
        return None
    success, _, failed = made
    return success * (cost_in + cost_out) + failed * (FAILED_INPUT * cost_in + FAILED_OUTPUT * cost_out)


def blend(mix: list[tuple[Decimal, Amounts]]) -> Amounts:
    """F3: the prices of a mix, Σ wᵢ·pᵢ. A cost is linear in its prices, so at these it is Σ wᵢ·cᵢ."""
    shared = [scaled(_with_cache(price), share) for share, price in mix if share]
    return Amounts(*(total(*amounts) for amounts in zip(*shared, strict=True)))


def _with_cache(price: Amounts) -> Amounts:
    return price._replace(
        cache_read=first(price.cache_read, price.input), cache_write=first(price.cache_write, price.input)
    )


def first(*prices: Decimal | None) -> Decimal | None:
    """Return the first price that is known."""
    return next((price for price in prices if price is not None), None)


def months(growth: Decimal) -> Decimal:
    """F3: how many first months a year is worth: 12, or with growth ((1+g)¹²−1)/g."""
    return ((1 + growth) ** MONTHS - 1) / growth if growth else Decimal(MONTHS)


def year(month: Decimal | None, growth: Decimal) -> Decimal | None:
    """F3: what twelve months cost, the first of which costs `month`."""
    return None if month is None else month * months(growth)


def relay_factor(markup: Decimal, fee: Decimal, local_paid: Decimal, local_per_usd: Decimal) -> Decimal:
    """F5: (1+markup)(1+top-up fee)·q/X, by which credit is cheaper than its dollars."""
    return (1 + markup) * (1 + fee) * local_paid / local_per_usd


def payback(once: Decimal, net: Decimal | None, growth: Decimal) -> Decimal | None:
    """F6: months to save `once`, K/net or with growth ln(1+K·g/net)/ln(1+g); None is never or unknown.

    With growth all of `net` grows, as the formula is written: the running cost in it, too.
    """
    if net is None or net <= 0:
        return None
    return (1 + once * growth / net).ln() / (1 + growth).ln() if growth else once / net


def return_on(once: Decimal, net: Decimal | None, growth: Decimal) -> Decimal | None:
    """F6: (12·net − K)/K over 12 months; None where nothing was spent.

    With growth the 12 is F3's ((1+g)¹²−1)/g, which is our own reading: the formula is written without.
    """
    return None if net is None or not once else (net * months(growth) - once) / once


def break_even(fee: Decimal, before: Decimal | None, after: Decimal | None) -> Decimal | None:
    """F7: calls a month that earn a monthly fee, ceil(fee/(c_old − c_new)); None is never or unknown."""
    gain = difference(before, after)
    return None if gain is None or gain <= 0 else ceil(fee / gain)


def seconds(ttft: Decimal, tokens_per_second: Decimal, output: Decimal) -> Decimal:
    """F8: t = TTFT + O/v."""
    return ttft + output / tokens_per_second


def calls_a_minute(per_minute: Decimal, streams: Decimal, took: Decimal) -> Decimal:
    """F8: min(rpm, 60·S/t)."""
    return min(per_minute, 60 * streams / took) if took else per_minute


def streams_needed(calls: Decimal, tries: Decimal, took: Decimal) -> Decimal:
    """F8: ceil(N·E·t/(3600·H)) parallel streams, H = 730.5 hours a month."""
    return ceil(calls * tries * took / (3600 * HOURS))


def ceil(number: Decimal) -> Decimal:
    return number.to_integral_value(ROUND_CEILING)
