"""One ``%%holysheep`` cell: from its line and its text to the answer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hs_notebook.asking import Asking
from hs_notebook.background import Background
from hs_notebook.conversation import Turn
from hs_notebook.interpolation import interpolate
from hs_notebook.interrupts import uninterrupted
from hs_notebook.magics.attachments import LONGEST_FILE, with_attachments
from hs_notebook.magics.formats import Form, with_system
from hs_notebook.magics.tools import Rounds, Tools
from hs_notebook.portal import wait
from hs_notebook.prompt import somebody_is_there
from hs_notebook.settings import refuse_key
from hs_notebook.types import ChatRequest, prompt_messages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from hs_notebook.answers import Answer
    from hs_notebook.call import Wait
    from hs_notebook.client import AsyncHolySheep
    from hs_notebook.conversation import Conversation
    from hs_notebook.display import Display
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.magics.options import Options
    from hs_notebook.pricing.limit import Limit


@dataclass(kw_only=True)
class Question:
    """What a cell asks: the user's turn, what was said before it, and what becomes of the answer."""

    magics: HolySheepMagics
    options: Options
    content: str | list[dict[str, Any]]
    earlier: list[Mapping[str, Any]]  # the system message and the conversation
    conversation: Conversation | None
    form: Form
    tools: Tools
    alone: bool = True  # else its answer is one of several
    among: int = 1  # calls that share what is left of the budget

    def request(self, model: str) -> ChatRequest:
        """Return what is sent to a model; raises `UsageError`."""
        earlier = with_system(self.earlier, self.form.system)
        messages = [*earlier, {"role": "user", "content": self.content}]
        return ChatRequest.of(model, messages, self.form.params | self.tools.params | self.options.params())

    def client(self) -> AsyncHolySheep:
        """Return the client that it is sent by."""
        options = self.options
        return self.magics.replays.client(options.base_url, cache=options.cache, accepts=self.form.keeps)

    def limit(self, request: ChatRequest, client: AsyncHolySheep, charged: Decimal) -> Limit | None:
        """Return what a request may cost where the cell has cost so much already; raises `BudgetError`."""
        if client.is_free(request):
            return None
        most, purse = self.options.max_cost, self.magics.purse
        return purse.limit(request, client.quotes, most, charged=charged, among=self.among)

    def begin(self, speaker: object) -> None:
        """Take the word in the conversation; may be refused."""
        if self.conversation is not None:
            self.conversation.begin(speaker)

    def end(self, speaker: object, answer: Answer | None = None) -> None:
        """Put what came where the line and the conversation want it."""
        if self.conversation is not None:
            turn = None if answer is None else Turn(self.content, answer)
            self.conversation.end(speaker, turn, anew=self.options.reset, system=self.options.system)
        if answer is not None and self.alone and not self.options.bg:
            self.magics.put(self.options.out, answer)


def read(magics: HolySheepMagics, options: Options, cell: str) -> Question:
    """Return what a cell asks; raises `UsageError`."""
    text = cell.strip("\n")
    prompt = text if options.raw else _filled(text, magics.own_names())
    prompt_messages(prompt)
    content = with_attachments(prompt, options.image, options.file, magics.own_names())
    tools = Tools.of(options, magics.own_names(), magics.tool_rounds)
    form = Form.of(options, magics.own_names(), magics.format)
    conversation, earlier = _conversation(magics, options)
    return Question(
        magics=magics,
        options=options,
        content=content,
        earlier=earlier,
        conversation=conversation,
        form=form,
        tools=tools,
    )


def _filled(text: str, names: Mapping[str, Any]) -> str:
    """Return a cell's text with its values, and tell the user of those that are cut."""
    cuts: dict[str, str] = {}
    prompt = interpolate(text, names, cuts=cuts)
    for path, cut in cuts.items():
        sys.stderr.write(
            f"{{{path}}} is cut: the model gets {cut}. "
            f"To send all of it, write it to a file: --file PATH takes up to {LONGEST_FILE:,} characters.\n"
        )
    return prompt


def _conversation(
    magics: HolySheepMagics, options: Options
) -> tuple[Conversation | None, list[Mapping[str, Any]]]:
    """Return the conversation that a cell continues, if any, and what goes before the cell's own words."""
    system = options.system
    name = magics.chat if options.chat is None else options.chat
    if not options.history or (name is None and not options.reset):
        return None, [] if system is None else [{"role": "system", "content": system}]
    # A copy: what may yet be refused changes nothing.
    said = magics.conversations.copy(name or "")
    if options.reset:
        said.clear()
    if system is not None:
        said.system = system
    earlier = said.messages(most=magics.history_turns)
    return said if options.dry_run else magics.conversations.named(name or ""), earlier


class Task:
    """One model's answer to a question."""

    def __init__(self, question: Question, model: str, display: Display) -> None:
        self._question = question
        client, request, form = question.client(), question.request(model), question.form
        key, in_page = client.credentials.key, question.magics.in_page
        refuse_key(request, key)
        self._calls = Rounds(question.tools, lambda: self._asking, display, key, in_page=in_page)
        self._read = form.follower(lambda text: self._asking.say(text))  # noqa: PLW0108 - it is not there yet
        self._asking = Asking(
            question.magics.session,
            client,
            request,
            form.live(display) if in_page else display,
            stream=question.options.stream,
            limits=lambda request, charged: question.limit(request, client, charged),
            follow=self._follow,
            present=form.present,
            listed=question.alone,
        )
        self.send = self._asking.send
        self.stop = self._asking.stop

    def _follow(self, request: ChatRequest, answer: Answer) -> ChatRequest | None:
        calls = answer.tool_calls and self._question.tools.tools
        return (self._calls.follow if calls else self._read)(request, answer)

    def begin(self) -> Self:
        """Take the place on the screen and in the conversation; raises `UsageError`."""
        try:
            self._question.begin(self)
            self._asking.begin()
        except BaseException:
            self.leave()
            raise
        return self

    def leave(self) -> None:
        """Give back the word in the conversation, if it still has it."""
        self._question.end(self)

    def run(self, wait: Wait = wait) -> Answer:
        """Wait for the answer and keep it, and what came of one that was interrupted or ended in an error."""
        answer: Answer | None = None
        try:
            answer = self._asking.run(wait)
            if answer.state == "truncated":  # else it was read already, or somebody stopped it
                self._question.form.read(answer)
        except BaseException:
            answer = self._asking.answer
            raise
        finally:
            self._question.end(self, answer)
        return answer

    @property
    def text(self) -> str:
        """What has come so far."""
        return self._asking.text


def in_cell(question: Question, model: str) -> Answer:
    """Ask one model and wait for its answer."""
    magics = question.magics
    with uninterrupted():  # the first of them imports what shows and sends it
        task = Task(question, model, magics.display_for(model))
        try:
            answer = task.begin().run(magics.wait)
        finally:
            magics.purse.say_warning()
    if question.form.name == "code" and answer.state == "complete":
        magics.shell.set_next_input(answer.code.strip("\n"), replace=False)  # offered, never run
    return answer


def in_background(question: Question, model: str) -> Background[Answer]:
    """Ask one model and go on; where nobody would see the answer come, wait for it."""
    magics = question.magics
    with uninterrupted():
        task = Task(question, model, magics.display_for(model, in_background=True))
        task.begin()
        try:
            task.send()  # here, so that what it may cost is held before the next cell asks
            handle = Background(model, task.run, task.stop, lambda: task.text)
        except BaseException:
            task.stop()
            task.leave()
            raise
        magics.put(question.options.out, handle)
    if not somebody_is_there():
        handle.wait()
    return handle
