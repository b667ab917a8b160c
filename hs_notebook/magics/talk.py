"""``%holysheep ask``, ``history``, ``reset`` and ``stop``: the commands about what is said."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hs_notebook.display.visible import visible
from hs_notebook.errors import UsageError
from hs_notebook.magics.ask import ask as ask_question
from hs_notebook.magics.options import parse_ask
from hs_notebook.magics.parser import Parser, read_words

if TYPE_CHECKING:
    from hs_notebook.conversation import Conversation, Turn
    from hs_notebook.magics.magic import HolySheepMagics

_SHOWN = 300  # characters of a question or an answer in a list


def ask(magics: HolySheepMagics, words: list[str]) -> Any:
    """Ask, as a cell does, and return the answer: ``x = %holysheep ask MODEL "…"``."""
    options, prompt = parse_ask(words)
    answer = ask_question(magics, options, prompt)
    magics.is_shown(answer)
    return answer


def history(magics: HolySheepMagics, words: list[str]) -> None:
    """Show what was said in a conversation."""
    parser = Parser(
        prog="%holysheep history",
        usage="%%holysheep history [NAME]",
        description="What was asked and answered in a conversation, and how each answer ended.",
    )
    _name(parser, magics)
    parser.add_argument("--full", action="store_true", help="the whole of each answer")
    options = read_words(parser, words)
    sys.stdout.write(
        visible(told(magics.conversations.find(options.name), magics.history_turns, full=options.full))
    )


def _name(parser: Parser, magics: HolySheepMagics) -> None:
    """Let a line name a conversation; one that names none means what a cell means that says nothing."""
    parser.add_argument(
        "name",
        nargs="?",
        default=magics.chat or "",
        metavar="NAME",
        help="which; else the one that HolySheepMagics.chat names, or the one without a name",
    )


def told(conversation: Conversation, most: int, *, full: bool) -> str:
    """Return a conversation in words; `most` of its turns are sent again."""
    number = len(conversation.turns)
    again = "" if number <= most else f"; the last {most} are sent again"
    lines = [f"{number} {'turn' if number == 1 else 'turns'}{again}\n"]
    if conversation.system is not None:
        lines.append(f"\nsystem: {conversation.system}\n")
    for place, turn in enumerate(conversation.turns, 1):
        lines.append(_turn(place, turn, full=full))
    return "".join(lines)


def _turn(place: int, turn: Turn, *, full: bool) -> str:
    state = "" if turn.answer.state == "complete" else f" ({turn.answer.state})"
    question, said = (text if full else _short(text) for text in (turn.question, turn.answer.text))
    return f"\n[{place}] you: {question}\n{turn.answer.model}{state}: {said}\n"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}… ({len(text):,} characters)"


def reset(magics: HolySheepMagics, words: list[str]) -> None:
    """Forget what was said in a conversation."""
    parser = Parser(
        prog="%holysheep reset",
        usage="%%holysheep reset [NAME]",
        description="Forget what was said in a conversation; the answers stay in the notebook.",
    )
    _name(parser, magics)
    conversation = magics.conversations.find(read_words(parser, words).name)
    conversation.begin(parser)  # nobody may be speaking
    number = len(conversation.turns)
    conversation.clear()
    conversation.end(parser)
    sys.stdout.write(f"{number} {'turn' if number == 1 else 'turns'} forgotten.\n")


def stop(magics: HolySheepMagics, words: list[str]) -> None:
    """Stop answers that are arriving in the background; their text is kept."""
    parser = Parser(
        prog="%holysheep stop",
        usage="%%holysheep stop [all]",
        description="Stop the newest answer that arrives in the background, or all of them; "
        "their text is kept.",
    )
    parser.add_argument("which", nargs="?", choices=("all",), help="all of them")
    which = read_words(parser, words).which
    running = list(magics.session.running)
    if not running:
        raise UsageError("No answer is arriving.", hint="%holysheep last shows the last one.")
    stopped = running if which == "all" else running[-1:]
    for one in stopped:
        one.stop()
    left = len(running) - len(stopped)
    more = f"; {left} more {'is' if left == 1 else 'are'} arriving" if left else ""
    sys.stdout.write(f"{len(stopped)} {'answer' if len(stopped) == 1 else 'answers'} stopped{more}.\n")
