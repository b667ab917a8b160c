"""Write tests/vectors/roi.json again: `python tests/vectors/make_roi.py`.

Cases are chosen so that no figure that is shown is an exact tie of rounding: the page reckons in doubles.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from hs_notebook.calculator import PRESETS
from hs_notebook.display.calculator import figures
from hs_notebook.pricing.catalog import catalog
from hs_notebook.pricing.files import builtin
from hs_notebook.pricing.report import numbers
from hs_notebook.pricing.roi import evaluate
from hs_notebook.pricing.scenario import plain_inputs, problems, scenario_of

AT = date(2026, 11, 24)
PATH = Path(__file__).with_name("roi.json")

SONNET, GPT, FLASH, DEEPSEEK = "claude-sonnet-4.5", "gpt-4.1", "gemini-2.5-flash", "deepseek-v3.2"
MILLION = {"input_tokens": 0, "output_tokens": 1_000_000}
LONG = {
    "calls": 50_000,
    "input_tokens": 12_000,
    "output_tokens": 800,
    "now": {SONNET: 1},
    "then": {SONNET: 1},
}

CASES: dict[str, dict[str, Any]] = {
    **{f"preset {name}": preset.inputs for name, preset in PRESETS.items()},
    "defaults: unknown input": {},
    "V1 cached": LONG | {"cached_share": 0.75, "seller": "official"},
    "V1 without cache": LONG | {"seller": "official"},
    "V1 cached and written": LONG | {"cached_share": 0.75, "cache_write_share": 0.25, "seller": "official"},
    "V2 official": {"seller": "official"},
    "V2 mix with growth": {"seller": "official", "then": {GPT: 0.2, DEEPSEEK: 0.8}, "growth": 0.05},
    "V3 against the official list": MILLION | {"now": {DEEPSEEK: 1}},
    "V3 against $8": MILLION | {"now": {GPT: 1}},
    "V4 retries": {"calls": 99_000, "seller": "official", "then": {GPT: 1}, "error_rate": 0.05, "retries": 3},
    "V5 payback": {"seller": "official", "switching_cost": 5000, "running_cost": 51},
    "V5 payback with growth": {
        "seller": "official",
        "switching_cost": 5000,
        "running_cost": 51,
        "growth": 0.05,
    },
    "V5 break-even": {"seller": "official", "running_cost": 199},
    "V6 feasible": {"seller": "official", "then": {GPT: 1}},
    "V7 top-up on the output alone": {"now": {GPT: 1}, "then": {GPT: 1}, "top_up": True},
    "top-up with fees": {
        "then": {GPT: 1},
        "assume_official_input": True,
        "top_up": True,
        "local_per_usd": 7.1,
        "markup": 0.03,
        "top_up_fee": 0.02,
    },
    "article's reference, input unknown": {"reference": "article", "assume_official_input": True},
    "article's reference, output alone": {
        "reference": "article",
        "input_tokens": 0,
        "now": {GPT: 1},
        "then": {FLASH: 1},
    },
    "more costly, never paid back": {
        "now": {DEEPSEEK: 1},
        "then": {SONNET: 1},
        "assume_official_input": True,
        "switching_cost": 100,
        "running_cost": 10,
    },
    "long context": {
        "calls": 1000,
        "input_tokens": 250_000,
        "output_tokens": 2000,
        "now": {SONNET: 1},
        "then": {GPT: 1},
        "seller": "official",
    },
    "zero calls": {"calls": 0, "seller": "official"},
    "no tokens": {"input_tokens": 0, "output_tokens": 0, "then": {GPT: 1}},
    "three models, other spellings": {
        "now": {"openai/gpt-4-1": 0.5, "claude-sonnet-4-5": 0.5},
        "then": {"deepseek-chat": 0.5, "gpt-4.1": 0.3, "Gemini-2.5-Flash": 0.2},
        "assume_official_input": True,
        "calls": 34_567.3,
        "input_tokens": 1234.5,
        "cached_share": 0.4,
        "batch_share": 0.3,
        "uncertainty": 0.35,
    },
    "too many calls a minute": {"calls": 4_000_000, "seller": "official", "then": {FLASH: 1}},
    "timeout": {"output_tokens": 6000, "timeout": 60, "then": {GPT: 0.5, SONNET: 0.5}, "seller": "official"},
    "cents": {"calls": 3, "input_tokens": 10, "output_tokens": 7, "seller": "official"},
}

BAD: dict[str, dict[str, Any]] = {
    "negative": {"calls": -1, "input_tokens": -5, "switching_cost": -0.01},
    "absurd": {"calls": 1e12, "output_tokens": 1e30, "concurrent_streams": 0, "timeout": 0},
    "shares": {"cached_share": 1.5, "batch_share": 2, "error_rate": 1, "growth": 1.01},
    "shares together": {"cached_share": 0.75, "cache_write_share": 0.5},
    "mixes": {"now": {GPT: 0.5, DEEPSEEK: 0.4}, "then": {"gpt-99": 1}},
    "empty mix": {"now": {}, "then": {GPT: 1.5}},
    "no currency": {"local_per_usd": 0, "local_paid": 0},
    "types": {"calls": "many", "retries": 1.5, "top_up": "yes", "now": "gpt-4.1", "then": {GPT: None}},
    "choices": {"reference": "relay", "seller": "article", "requests_per_minute": None},
}


def vectors() -> dict[str, Any]:
    """Return what roi.json holds."""
    good = [_case(name, inputs) for name, inputs in CASES.items()]
    bad = [
        {
            "name": f"bad: {name}",
            "scenario": raw,
            "report": None,
            "figures": None,
            "problems": problems(raw, builtin()),
        }
        for name, raw in BAD.items()
    ]
    return {"catalog": catalog(builtin(), AT), "cases": good + bad}


def _case(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    scenario = scenario_of(builtin(), **inputs)
    report = evaluate(scenario, builtin(), AT)
    return {
        "name": name,
        "scenario": plain_inputs(scenario),
        "report": numbers(report),
        "figures": msgspec.to_builtins(figures(report)),
        "problems": {},
    }


def text() -> str:
    """Return roi.json's text, with a line for each case."""
    found = vectors()
    cases = ",\n".join(json.dumps(case, ensure_ascii=False) for case in found["cases"])
    return f'{{"catalog": {json.dumps(found["catalog"], ensure_ascii=False)},\n"cases": [\n{cases}\n]}}\n'


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
