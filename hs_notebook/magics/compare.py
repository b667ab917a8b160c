"""``%%holysheep A,B,C``: one question to several models, whose answers arrive side by side."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Self

from hs_notebook.background import Background
from hs_notebook.call import Interrupted, settled
from hs_notebook.compared import Answers
from hs_notebook.errors import HolySheepError, UsageError
from hs_notebook.interrupts import has_waited, interruptible, uninterrupted
from hs_notebook.magics.cell import Task
from hs_notebook.portal import portal, wait
from hs_notebook.prompt import somebody_is_there
from hs_notebook.settings import refuse_key

if TYPE_CHECKING:
    from hs_notebook.answers import Answer
    from hs_notebook.call import Wait
    from hs_notebook.display import Display
    from hs_notebook.display.comparison import ComparisonDisplay
    from hs_notebook.magics.cell import Question
    from hs_notebook.magics.magic import HolySheepMagics
    from hs_notebook.magics.options import Options


def refuse_chat(magics: HolySheepMagics, options: Options) -> None:
    """Raise `UsageError` where several models would answer in one conversation."""
    if options.history and (options.reset or options.chat is not None or magics.chat is not None):
        raise UsageError(
            "A conversation has one model, and several were named.",
            hint="Name one, or ask them outside of it with --no-history.",
        )


class Comparison:
    """The answers of several models to one question, and their place on the screen."""

    def __init__(self, question: Question, models: list[str], place: ComparisonDisplay) -> None:
        self._question = dataclasses.replace(question, alone=False)
        self._models = models
        self._place = place
        self._tasks: dict[str, Task] = {}
        self._running: dict[str, Background[Answer]] = {}
        self._answers: dict[str, Answer] = {}
        self._errors: dict[str, HolySheepError] = {}
        self._stopped = False

    def begin(self) -> Self:
        """Take the place on the screen and send the question; raises `UsageError` before anything is sent."""
        key = self._question.client().credentials.key
        for model in self._models:
            refuse_key(self._question.request(model), key)
        self._place.begin(self.stop)
        # One after the other: what the first may cost is counted before the second is allowed.
        for number, (model, column) in enumerate(zip(self._models, self._place.columns, strict=True)):
            try:
                self._send(model, column, among=len(self._models) - number)
            except HolySheepError as error:
                self._errors[model] = error
                column.fail(error)
        return self

    def run(self, wait: Wait = wait) -> Answers:
        """Wait until all have ended; raises the first error where all ended in one, and `Interrupted`."""
        with self._question.magics.session.going(self):
            interrupted = self._wait(wait)
        answers = Answers(self._models, self._answers, self._errors)
        self._place.finish(answers)
        self._question.magics.session.last = answers
        if not self._question.options.bg:
            self._question.magics.put(self._question.options.out, answers)
        if has_waited() or interrupted:
            raise Interrupted(answers, "The answers stop here; their text is kept.")
        if len(answers.errors) == len(self._models):
            raise next(iter(answers.errors.values()))
        return answers

    def stop(self) -> None:
        """Stop all; from any thread."""
        self._stopped = True
        for task in list(self._tasks.values()):
            task.stop()

    @property
    def text(self) -> str:
        """What has come so far, each under the name of its model."""
        return "\n\n".join(f"## {model}\n\n{task.text}" for model, task in list(self._tasks.items()))

    def _send(self, model: str, column: Display, *, among: int) -> None:
        task = Task(dataclasses.replace(self._question, among=among), model, column).begin()
        self._tasks[model] = task
        if self._stopped:
            task.stop()
        task.send()
        self._running[model] = Background(model, task.run, task.stop, lambda: task.text)

    def _wait(self, wait: Wait) -> bool:
        """Collect what came; return whether the cell was interrupted meanwhile."""
        interrupted = False
        for model, running in self._running.items():
            try:
                if not interrupted:
                    try:
                        with interruptible():
                            self._answers[model] = wait(running.future)
                        continue
                    except KeyboardInterrupt as interrupt:
                        if running.done and running.future.exception() is interrupt:
                            raise  # code of the user's raised it while it read the answer
                        interrupted = True
                        self.stop()
                self._answers[model] = settled(running.future)
            except BaseException as error:  # noqa: BLE001 - the answers of the others are paid for, too
                self._fail(model, error)
        return interrupted

    def _fail(self, model: str, error: BaseException) -> None:
        answer = getattr(error, "answer", None)
        if not isinstance(error, HolySheepError):
            cause, error = error, HolySheepError(f"{model} ended in {type(error).__name__}.")
            error.__cause__, error.answer = cause, answer
        self._errors[model] = error
        if answer is not None:
            self._answers[model] = answer


def compare(question: Question, models: list[str]) -> Answers:
    """Ask several models and wait for all of them."""
    magics = question.magics
    with uninterrupted():
        comparison = Comparison(question, models, place_for(magics, models))
        try:
            return comparison.begin().run(magics.wait)
        except BaseException:
            comparison.stop()  # also what was begun before an error
            raise
        finally:
            magics.purse.say_warning()


def compare_in_background(question: Question, models: list[str]) -> Background[Answers]:
    """Ask several models and go on; where nobody would see the answers come, wait for them."""
    magics = question.magics
    with uninterrupted():
        comparison = Comparison(question, models, place_for(magics, models, in_background=True))
        comparison.begin()
        handle = Background(", ".join(models), comparison.run, comparison.stop, lambda: comparison.text)
        magics.put(question.options.out, handle)
    if not somebody_is_there():
        handle.wait()
    return handle


def place_for(
    magics: HolySheepMagics, models: list[str], *, in_background: bool = False
) -> ComparisonDisplay:
    """Return the place on the screen for the answers of several models."""
    if not magics.in_page:
        from hs_notebook.display.comparison.terminal import TerminalComparison

        return TerminalComparison(models, in_background=in_background)
    if magics.has_widgets:
        from hs_notebook.display.comparison.widget import WidgetComparison

        return WidgetComparison(magics.shell, models, magics.views, portal().loop)
    from hs_notebook.display.comparison.page import PageComparison

    return PageComparison(magics.shell, models)
