"""What form an answer has: Markdown, text as it is, code alone, JSON, or what a schema says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hs_notebook.display.notes import AS_IS
from hs_notebook.errors import SchemaError, UsageError
from hs_notebook.fences import code_blocks, fenced, json_in
from hs_notebook.schemas import Schema, parse_json, pretty
from hs_notebook.types import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hs_notebook.answers import Answer
    from hs_notebook.asking import Follow
    from hs_notebook.display import Display
    from hs_notebook.magics.options import Options

FORMATS = ("markdown", "text", "code", "json")

_AGAIN = "Answer again, with one JSON object and nothing else"
_LANGUAGES = {"text": AS_IS, "json": "json"}
_SYSTEM = {
    "code": "Answer with code alone, in one fenced block and without explanations: Python, unless another "
    "language is asked for.",
    "json": "Answer with one JSON object and nothing else.",
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is asked of an answer, and how it is shown."""

    name: str = "markdown"
    schema: Schema | None = None
    repair: bool = False

    @classmethod
    def of(cls, options: Options, names: Mapping[str, Any], usual: str = "markdown") -> Form:
        """Return what a line asks for, `usual` where it says nothing.

        Raises `UsageError`, and `ConfigurationError` where a package is missing.
        """
        if options.schema is None:
            name = options.format or usual
            if options.repair and name != "json":
                raise UsageError("Only JSON can be repaired.", hint="--repair goes with --schema or -f json.")
            return cls(name=name, repair=options.repair)
        if options.format not in {None, "json"}:
            raise UsageError(f"--schema asks for JSON, and not for {options.format}.", hint="Leave out -f.")
        if options.schema not in names:
            raise UsageError(
                f"There is no {options.schema} in the notebook.", hint="Run the cell that makes it first."
            )
        return cls(name="json", schema=Schema.of(names[options.schema]), repair=options.repair)

    @property
    def system(self) -> str:
        """What the model is told, and nothing where the request says it all."""
        return "" if self.schema else _SYSTEM.get(self.name, "")

    @property
    def params(self) -> dict[str, Any]:
        """What the request carries."""
        if self.schema:
            return self.schema.params()
        return {"response_format": {"type": "json_object"}} if self.name == "json" else {}

    def live(self, display: Display) -> Display:
        """Return the place in a page for an answer; what is no Markdown stands in a fence there."""
        from hs_notebook.display.fenced import Fenced

        language = _LANGUAGES.get(self.name)
        return Fenced(display, language) if language else display

    def present(self, answer: Answer) -> str:
        """Return the Markdown that an answer is shown as in the end."""
        text = answer.text
        if self.name == "markdown" or not text.strip():
            return text
        if self.name == "code":
            found = code_blocks(text)
            return fenced(answer.code, found[0].language or "python" if found else "python")
        return fenced(pretty(json_in(text)) if self.name == "json" else text, _LANGUAGES[self.name])

    def read(self, answer: Answer) -> None:
        """Put into `answer.parsed` what the text holds; raises `SchemaError` with the answer."""
        if self.name != "json" or answer.tool_calls:
            return
        try:
            answer.parsed = self._parsed(answer.text)
        except SchemaError as error:
            error.answer = answer
            raise

    def _parsed(self, text: str) -> Any:
        return self.schema.read(text) if self.schema else parse_json(text)

    def keeps(self, answer: Answer) -> bool:
        """Tell whether an answer is to be given again from a file: it fits, or is one that is repaired."""
        if self.name != "json" or answer.tool_calls:
            return True
        try:
            self._parsed(answer.text)
        except SchemaError:
            return self.repair and _AGAIN not in str(answer.messages[-2]["content"])
        return True

    def follower(self, say: Callable[[str], None]) -> Follow:
        """Return what reads each answer, and asks once more where one does not fit and that is wanted."""
        left = [1] if self.repair else []

        def follow(request: ChatRequest, answer: Answer) -> ChatRequest | None:
            try:
                self.read(answer)
            except SchemaError as error:
                if not left:
                    answer.add_note(error.message.rstrip("."))
                    raise
                left.pop()
                say(f"\n\n*{_plain(error.message)} Asked once more:*\n\n")
                return self._once_more(request, answer, error)
            return None

        return follow

    def _once_more(self, request: ChatRequest, answer: Answer, error: SchemaError) -> ChatRequest:
        # With the schema, since some servers let response_format go unheard.
        fitting = f" that fits this schema: {json.dumps(self.schema.json_schema)}" if self.schema else ""
        turn = f"{error.message} {_AGAIN}{fitting}"
        said = {"role": "assistant", "content": answer.text}
        messages = [*request.messages, said, {"role": "user", "content": turn}]
        return ChatRequest.of(request.model, messages, request.params)


def with_system(messages: list[Mapping[str, Any]], text: str) -> list[Mapping[str, Any]]:
    """Return messages whose first is a system message that ends with a text."""
    if not text:
        return messages
    if messages and messages[0].get("role") == "system":
        first = {"role": "system", "content": f"{messages[0]['content']}\n\n{text}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _plain(text: str) -> str:
    """Return a text in which Markdown sees no mark."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>()#+-!|~$&" else char for char in text)
