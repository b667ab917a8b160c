"""Estimates: plausible, cheap, never 0 for something, and with the interval that they keep."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_notebook.pricing.calibration import Calibration
from hs_notebook.pricing.tokens import (
    Estimate,
    estimate,
    estimate_messages,
    estimate_tokens,
)
from hs_notebook.pricing.vocabulary import Vocabulary

PROSE = {
    "English": "Please explain in three sentences what server-sent events are, and when one should use them.",
    "German": "Erkläre bitte in drei Sätzen, was vom Server gesendete Ereignisse sind und wozu sie gut sind.",
    "French": "Explique en trois phrases ce que sont les événements envoyés par le serveur, et leur utilité.",
    "Chinese": "请用三句话解释一下什么是服务器推送事件，并且说明在什么情况下应该使用它，谢谢！",
    "Taiwan": "請用三句話解釋什麼是伺服器推送事件，並說明在什麼情況下應該使用它，謝謝！",
    "Japanese": "サーバー送信イベントについて三つの文で説明し、国民経済に与える影響も論じてください。",
    "Korean": "서버 전송 이벤트가 무엇인지 세 문장으로 설명하고 언제 써야 하는지도 알려 주세요.",
    "Russian": "Объясни в трёх предложениях, что такое события, отправляемые сервером, и зачем они нужны.",
    "Ukrainian": "Поясни у трьох реченнях, що таке події, які надсилає сервер, і коли їх варто вживати.",
    "Greek": "Εξήγησε σε τρεις προτάσεις τι είναι τα συμβάντα που στέλνει ο διακομιστής.",
    "Arabic": "اشرح في ثلاث جمل ما هي الأحداث التي يرسلها الخادم ومتى يجب استخدامها.",
    "Python": "def estimate(text: str) -> int:\n    return max(1, round(len(text) / 4)) if text else 0\n" * 2,
    "JSON": json.dumps({"id": "chatcmpl-123", "created": 1694268190, "choices": [{"index": 0, "delta": {}}]}),
}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("twelve chars", 3),
        ("x" * 4000, 880),
        ("1,234.50", 4),
        ("你好世界", 3),
        ("你好 ab", 2),
        ("é" * 8, 3),
        ("привет", 2),
        ("😀😀", 2),
        ("\ud800", 1),
    ],
)
def test_estimate_by_script(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(text=st.text(st.characters(), min_size=1))
def test_never_nothing_for_something(text: str) -> None:
    assert 1 <= estimate_tokens(text) <= len(text)


@given(text=st.text(min_size=1, max_size=50), more=st.text(min_size=1, max_size=50))
def test_more_text_has_no_fewer_tokens(text: str, more: str) -> None:
    assert estimate_tokens(text + more) >= estimate_tokens(text)


@pytest.mark.parametrize("name", ["o200k_base", "deepseek_v3", "gemma3"])
@pytest.mark.parametrize("language", PROSE)
def test_the_count_by_script_keeps_its_interval(language: str, name: str) -> None:
    pytest.importorskip("splintr")
    text = PROSE[language]
    truth = Vocabulary(name=name, method="", low=1, high=1).count([text])
    assert truth
    guess = estimate(text, "an unknown model")
    assert guess.method == "by script"
    assert guess.low <= truth <= guess.high


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("four" * 5, 11),
        ("", 7),
        (None, 7),
        ([{"type": "text", "text": "four"}, {"type": "image_url", "image_url": {"url": "x" * 999}}], 773),
        ([{"type": "text", "text": "four"}, {"type": "text", "text": "fou"}], 9),
        ([{"type": "refusal", "refusal": "four"}, "four"], 9),
    ],
)
def test_prompt(content: Any, tokens: int) -> None:
    assert estimate_messages([{"role": "user", "content": content}], "unknown").tokens == tokens


def test_prompt_of_several_messages() -> None:
    messages = [{"role": "system", "content": "four"}, {"role": "user", "content": "four"}, {"role": "tool"}]
    assert estimate_messages(messages, "unknown").tokens == 17
    assert estimate_messages([], "unknown").tokens == 0


def test_the_calls_of_tools_count() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"city": "Oslo"}'}}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    assert estimate_messages([message], "unknown").tokens > 20


@pytest.mark.parametrize(
    "beside",
    [{"reasoning_content": "four"}, {"reasoning": "four"}, {"name": "four"}, {"function_call": "four"}],
)
def test_words_beside_the_content_count(beside: dict[str, Any]) -> None:
    assert estimate_messages([{"role": "assistant", "content": "four" * 4, **beside}], "unknown").tokens == 12


@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("gpt-4.1", "o200k"),
        ("openai/GPT-4.1-2025-04-14", "o200k"),
        ("gpt-4o-mini", "o200k"),
        ("gpt-5.1", "o200k"),
        ("o3-mini", "o200k"),
        ("gpt-4", "cl100k"),
        ("gpt-4-turbo", "cl100k"),
        ("gpt-3.5-turbo", "cl100k"),
        ("claude-sonnet-4.5", "o200k × 1.2"),
        ("claude-sonnet-4-5-20250929", "o200k × 1.2"),
        ("deepseek-v3.2", "DeepSeek tokens"),
        ("deepseek-chat", "DeepSeek tokens"),
        ("gemini-2.5-flash", "Gemma tokens"),
        ("mistral-large", "by script"),
        ("", "by script"),
    ],
)
def test_method_by_model(model: str, method: str) -> None:
    pytest.importorskip("splintr")
    assert estimate("Hello", model).method == method


# Token counts that the makers' own tokenizers give, and those are what `splintr` must reproduce.
@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        ("gpt-4.1", "", (0, 0, 0)),
        ("gpt-4.1", "hello world", (2, 1, 3)),
        ("gpt-4.1", "hello world " * 500, (1001, 990, 1012)),
        ("claude-sonnet-4.5", "hello world " * 500, (1201, 1001, 1652)),
        ("gpt-4.1", "<|endoftext|>", (7, 6, 8)),
    ],
)
def test_interval(model: str, text: str, expected: tuple[int, int, int]) -> None:
    pytest.importorskip("splintr")
    found = estimate(text, model)
    assert (found.tokens, found.low, found.high) == expected


@given(text=st.text(st.characters(), max_size=200), model=st.sampled_from(["gpt-4.1", "claude-x", "else"]))
def test_interval_encloses_the_estimate(text: str, model: str) -> None:
    found = estimate(text, model)
    assert 0 <= found.low <= found.tokens <= found.high


def test_half_a_surrogate_pair_is_counted_by_script() -> None:
    assert estimate("\ud800 and so on", "gpt-4.1").method == "by script"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4.1", (13, 12, 14)),  # 2 tokens, 4 for each of two messages, 3 for the reply
        ("deepseek-v3.2", (13, 1, 25)),
        ("an unknown model", (13, 1, 25)),
    ],
)
def test_messages(model: str, expected: tuple[int, int, int]) -> None:
    pytest.importorskip("splintr")
    messages = [{"role": "system", "content": "Hello"}, {"role": "user", "content": "Hello"}]
    found = estimate_messages(messages, model)
    assert (found.tokens, found.low, found.high) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text", False),
        (None, False),
        ([{"type": "text", "text": "text"}], False),
        ([{"type": "file", "file": {"file_data": "x" * 999}}], True),
        (["loose"], True),
    ],
)
def test_what_is_not_counted_is_said(content: Any, said: bool) -> None:
    found = estimate_messages([{"role": "user", "content": content}], "gpt-4.1")
    assert found.method.endswith(", text alone") is said
    assert found.tokens < 20


def test_an_image_counts_with_a_guess_between_bounds() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    text = {"type": "text", "text": "What is this?"}
    alone = estimate_messages([{"role": "user", "content": [text]}], "gpt-4.1")
    two = estimate_messages([{"role": "user", "content": [text, image, image]}], "gpt-4.1")
    assert (two.low, two.tokens, two.high) == (alone.low + 170, alone.tokens + 1530, alone.high + 3200)
    assert two.method == alone.method + ", images guessed"


def test_no_messages_have_no_tokens() -> None:
    assert estimate_messages([], "gpt-4.1").high == 0


WITHOUT = """
import sys
sys.modules["splintr"] = None  # as where it is not installed
from hs_notebook.pricing.tokens import estimate
print(estimate("Hello there", "gpt-4.1").method)
"""
# A library of the same name that says how often it is asked, and fails as a panic in Rust does.
BROKEN = """
import sys, types
class Panic(BaseException): ...
class Tokenizer:
    asked = 0
    @staticmethod
    def from_pretrained(name):
        Tokenizer.asked += 1
        raise Panic
sys.modules["splintr"] = types.SimpleNamespace(Tokenizer=Tokenizer)
from hs_notebook.pricing.tokens import estimate
print([estimate("Hello there", "gpt-4.1").method for _ in range(3)][-1], Tokenizer.asked)
"""
LATE = """
import sys
from hs_notebook.pricing.tokens import estimate, estimate_messages
estimate_messages([{"role": "user", "content": "Hello"}], "an unknown model")
estimate("Hello", "an unknown model")
print("splintr" in sys.modules)
"""


@pytest.mark.parametrize(
    ("script", "printed"),
    [(WITHOUT, "by script"), (BROKEN, "by script 1"), (LATE, "False")],
    ids=["not installed", "broken", "late"],
)
def test_the_library_may_be_missing_broken_or_not_needed(script: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == printed


def guess(tokens: int, low: int, high: int, method: str = "m") -> Estimate:
    return Estimate(tokens=tokens, low=low, high=high, method=method)


def seen(*billed: int, high: int = 1500) -> Calibration:
    calibration = Calibration()
    for count in billed:
        calibration.see("a-model", guess(1000, 500, high), count)
    return calibration


@pytest.mark.parametrize(
    ("billed", "expected"),
    [
        ((), (1000, 500, 1500)),
        ((1200,), (1200, 500, 1500)),
        ((1100, 1300), (1200, 500, 1500)),
        ((9000,), (1500, 500, 1500)),  # never out of the interval
        ((49,), (1000, 500, 1500)),  # a call with so few tokens tells nothing
        ((1100, 1300) * 9, (1200, 500, 1500)),
        ((1100, 1300) * 10, (1200, 1100, 1300)),
        ((100, 9000) * 10, (1500, 500, 1500)),  # evidence narrows the interval and never widens it
        ((3000,) * 20, (3000, 500, 3000)),  # but where most are billed above it, more is to be expected
        ((3000,) * 4, (1500, 500, 1500)),
        ((100,) * 20, (500, 500, 500)),
        ((9000,) * 20 + (1200,) * 39, (1200, 1200, 1200)),  # what is long ago is forgotten
    ],
)
def test_what_was_billed_corrects_an_estimate(
    billed: tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    found = seen(*billed).apply("A.Model".replace(".", "-"), guess(1000, 500, 1500))
    assert (found.tokens, found.low, found.high) == expected


@pytest.mark.parametrize(("model", "method"), [("another", "m"), ("a-model", "another")])
def test_a_correction_is_one_model_s_and_one_method_s(model: str, method: str) -> None:
    estimate = guess(1000, 500, 1500, method)
    assert seen(1200).apply(model, estimate) == estimate


@given(
    billed=st.lists(st.integers(0, 10_000), max_size=60),
    sizes=st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000)).map(sorted),
)
def test_a_corrected_estimate_stays_in_order_and_inside(billed: list[int], sizes: list[int]) -> None:
    low, tokens, high = sizes
    found = seen(*billed).apply("a-model", guess(tokens, low, high))
    order = [low, found.low, found.tokens, found.high]
    assert all(one <= other for one, other in pairwise(order))
    assert found.high <= high or seen(*billed).over_billing("a-model")


@pytest.mark.parametrize(
    ("billed", "told"),
    [
        ((1500,) * 20, False),
        ((1501,) * 4, False),
        ((1501,) * 5, True),
        ((1600, 1200) * 10, False),
        ((1600, 1600, 1200) * 4, True),
    ],
)
def test_over_billing_is_told(billed: tuple[int, ...], told: bool) -> None:
    calibration = seen(*billed)
    assert bool(calibration.over_billing("a.model")) is told
    assert calibration.over_billing("another") == ""


def test_over_billing_in_words() -> None:
    assert seen(*(2000,) * 6, high=1010).over_billing("a-model") == (
        "6 of the last 6 calls of a-model were billed above what their text can have: 2.00 times the "
        "estimate (m). The relay adds a prompt, or bills more."
    )
