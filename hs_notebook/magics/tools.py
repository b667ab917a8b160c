"""``--tools f,g``: functions of the notebook that a model may ask for, and the asking of the user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from hs_notebook.display.visible import visible
from hs_notebook.errors import ToolError, UsageError
from hs_notebook.fences import fenced
from hs_notebook.prompt import somebody_is_there
from hs_notebook.tools import Tool, shown_call
from hs_notebook.types import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hs_notebook.answers import Answer
    from hs_notebook.asking import Asking
    from hs_notebook.display import Display
    from hs_notebook.magics.options import Options
    from hs_notebook.secret import Secret
    from hs_notebook.types import ToolCall

_SHOWN = 2000  # characters of a result in the output; the model gets more
_WAY_OUT = "--allow-tools runs functions without asking."
_NOBODY = f"nobody is here to allow it. {_WAY_OUT}"
_NO_BUTTONS = f"this page has no buttons to allow it. {_WAY_OUT}"
_REFUSED = "you did not allow it."
_STOPPED = "the answer was stopped."
_WAITS = "The cell waits for your click, or an interrupt."  # also where the page was closed


@runtime_checkable
class Asks(Protocol):
    """A place on the screen that can ask for a yes or no."""

    def ask(self, question: str, stopped: Callable[[], bool]) -> bool | None:
        """Wait for the answer; None where nobody could see the question, or the answer was stopped."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the model may ask for, and whether it is run without a word; `rounds` bounds the asking."""

    tools: Mapping[str, Tool] = field(default_factory=dict)
    allowed: bool = False
    rounds: int = 5

    @classmethod
    def of(cls, options: Options, names: Mapping[str, Any], rounds: int) -> Tools:
        """Return what a line offers; raises `UsageError`."""
        if options.tools is None:
            if options.allow_tools:
                raise UsageError("--allow-tools allows nothing.", hint="Name functions: --tools f,g.")
            return cls()
        if options.bg or len(options.models) > 1:
            what = "an answer in the background" if options.bg else "several models at a time"
            raise UsageError(f"There are no tools for {what}.", hint="Ask one model, without --bg.")
        asked = [name.strip() for name in options.tools.split(",") if name.strip()]
        missing = [name for name in asked if name not in names]
        if not asked:
            raise UsageError("--tools names no function.", hint="Write --tools f,g.")
        if missing:
            raise UsageError(
                f"There is no function {', '.join(missing)}.", hint="Run the cell that makes it first."
            )
        tools = {name: Tool.of(names[name], name) for name in asked}
        return cls(tools=tools, allowed=options.allow_tools, rounds=rounds)

    @property
    def params(self) -> dict[str, Any]:
        """What the request carries."""
        return {"tools": [tool.spec() for tool in self.tools.values()]} if self.tools else {}


class Rounds:
    """Answers the calls of one question, round by round, in the thread of its cell."""

    def __init__(
        self, tools: Tools, asking: Callable[[], Asking], display: Display, key: Secret, *, in_page: bool
    ) -> None:
        self._tools = tools
        self._asking = asking
        self._display = display
        self._clean = key.scrub  # neither the screen nor the request may show it
        self._in_page = in_page
        self._left = tools.rounds

    def follow(self, request: ChatRequest, answer: Answer) -> ChatRequest | None:
        """Run what an answer asks for, and return the request that brings the results.

        Raises `ToolError` where the model has asked too often.
        """
        if self._left == 0:
            raise ToolError(
                f"The model asked for functions again after {self._tools.rounds} rounds.",
                hint="%config HolySheepMagics.tool_rounds sets how many there may be.",
            )
        self._left -= 1
        results: list[dict[str, Any]] = []
        for number, call in enumerate(answer.tool_calls):
            content = self._answer(call)
            if self._asking().stopped:
                answer.end("stopped")
                return None
            results.append({"role": "tool", "tool_call_id": _id(call, number), "content": content})
        asked = [self._as_sent(call, number) for number, call in enumerate(answer.tool_calls)]
        turn = {"role": "assistant", "content": answer.text or None, "tool_calls": asked}
        if answer.reasoning and "deepseek" in request.model.lower():  # which refuses a round without it
            turn["reasoning_content"] = self._clean(answer.reasoning)
        return ChatRequest.of(request.model, [*request.messages, turn, *results], request.params)

    def _as_sent(self, call: ToolCall, number: int) -> dict[str, Any]:
        name, arguments = self._named(call)
        return {
            "id": _id(call, number),
            "type": "function",
            "function": {"name": name, "arguments": arguments or "{}"},  # some read it as JSON
        }

    def _named(self, call: ToolCall) -> tuple[str, str]:
        """Return the name and the arguments of a call without the key, which a relay might give back."""
        return self._clean(call.function.name or ""), self._clean(call.function.arguments or "")

    def _answer(self, call: ToolCall) -> str:
        """Show a call, run it where that is allowed, and return its result."""
        name, arguments = self._named(call)
        text = shown_call(name, arguments)
        said = self._asking().text
        apart = "\n\n" if said and not said.endswith("\n\n") else ""
        self._say(f"{apart}{fenced(text, 'call')}\n")
        if (tool := self._tools.tools.get(name)) is None:
            return self._result(f"There is no function {name}.")
        if why := self._forbidden(text):
            self._say(f"*Not run: {why}*\n\n")
            return f"Not run: {'the user refused.' if why == _REFUSED else 'nobody allowed it.'}"
        result, cut = tool.call(arguments)
        return self._result(self._clean(result), cut)

    def _result(self, result: str, cut: str = "") -> str:
        left = len(result) - _SHOWN
        shown = result if left <= 0 else f"{result[:_SHOWN]}\n… ({left:,} more characters went to the model)"
        self._say(f"{fenced(shown, 'result')}\n")
        if cut:
            self._say(f"*Cut: the model gets {cut}. Let the function return what matters.*\n\n")
        return result

    def _say(self, text: str) -> None:
        self._asking().say(text)

    def _forbidden(self, call: str) -> str:
        """Return why a call may not run; empty where it may."""
        if self._tools.allowed:
            return ""
        if not somebody_is_there():
            return _NOBODY
        if isinstance(self._display, Asks):
            question = f"Run {_in_one_line(call)}? {_WAITS}"
            said = self._display.ask(question, lambda: self._asking().stopped)
            nobody = _STOPPED if self._asking().stopped else _NO_BUTTONS
            return {True: "", False: _REFUSED, None: nobody}[said]
        return _NO_BUTTONS if self._in_page else _by_prompt(call)


def _by_prompt(call: str) -> str:
    try:
        said = input(f"Run {visible(_in_one_line(call))}? [y/N] ")
    except EOFError:
        return _NOBODY
    return "" if said.strip().lower() in {"y", "yes"} else _REFUSED


def _in_one_line(call: str) -> str:
    line = " ".join(part.strip() for part in call.splitlines())
    return line if len(line) <= 100 else f"{line[:99]}…"  # all of it stands above


def _id(call: ToolCall, number: int) -> str:
    return call.id or f"call_{number}"
