"""Conversations: what is sent again, what is marked, what is forgotten."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hs_notebook.answers import Answer, Receipt
from hs_notebook.conversation import Conversation, Conversations, Turn
from hs_notebook.errors import UsageError

if TYPE_CHECKING:
    from shell import Shell

    from hs_notebook.relay import EmbeddedRelay


def said(text: str) -> str:
    return f"[simulate text speed=inf]\n{text}"


def sent(relay: EmbeddedRelay) -> list[tuple[str, Any]]:
    """Roles and contents of the last request."""
    return [(turn["role"], turn["content"]) for turn in json.loads(relay.stats.seen[-1].body)["messages"]]


def answered(text: str, state: Any = "complete") -> Answer:
    return Answer(text, Receipt(request_model="m", state=state))


def test_a_cell_continues_the_conversation(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat\n{said('one')}")
    shell.run(f"%%holysheep deepseek-v3.2 --chat\n{said('two')}")
    assert sent(relay) == [("user", said("one")), ("assistant", "one"), ("user", said("two"))]
    assert relay.stats.seen[-1].model == "deepseek-v3.2"


def test_a_cell_without_chat_stands_alone(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat\n{said('one')}")
    shell.run(f"%%holysheep\n{said('alone')}")
    assert sent(relay) == [("user", said("alone"))]
    shell.run(f"%%holysheep --chat\n{said('two')}")
    assert len(sent(relay)) == 3


def test_conversations_have_names(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat one\n{said('one')}")
    shell.run(f"%%holysheep --chat two\n{said('two')}")
    assert len(sent(relay)) == 1
    shell.run(f"%%holysheep gpt-4.1 --chat one\n{said('three')}")
    assert sent(relay)[1] == ("assistant", "one")


def test_a_name_may_be_any_word_where_the_model_is_named(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep gpt-4.1 --chat my-talk\n{said('one')}")
    shell.run(f"%%holysheep gpt-4.1 --chat other-talk\n{said('two')}")
    assert len(sent(relay)) == 1
    assert relay.stats.seen[-1].model == "gpt-4.1"
    assert [known.name for known in shell.magics.conversations] == ["my-talk", "other-talk"]


def test_what_follows_chat_and_is_no_name_is_a_model(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat deepseek-v3.2\n{said('one')}")
    assert relay.stats.seen[-1].model == "deepseek-v3.2"
    assert len(shell.magics.conversations.find("").turns) == 1


def test_the_system_message_holds_for_the_conversation(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat -s 'Be brief.'\n{said('one')}")
    shell.run(f"%%holysheep --chat\n{said('two')}")
    assert sent(relay)[0] == ("system", "Be brief.")
    shell.run(f"%%holysheep --chat -s 'Be long.'\n{said('three')}")
    assert [turn for turn in sent(relay) if turn[0] == "system"] == [("system", "Be long.")]


def test_reset_begins_anew(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat -s 'Be brief.'\n{said('one')}")
    shell.run(f"%%holysheep --reset\n{said('two')}")
    assert sent(relay) == [("user", said("two"))]
    shell.run(f"%%holysheep --chat\n{said('three')}")
    assert sent(relay)[0] == ("user", said("two"))


def test_no_history_neither_reads_nor_writes_it(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.chat = ''")
    shell.run(f"%%holysheep\n{said('one')}")
    shell.run(f"%%holysheep --no-history\n{said('aside')}")
    assert sent(relay) == [("user", said("aside"))]
    shell.run(f"%%holysheep\n{said('two')}")
    assert sent(relay) == [("user", said("one")), ("assistant", "one"), ("user", said("two"))]


def test_a_dry_run_shows_the_conversation_and_changes_nothing(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat\n{said('one')}")
    out = shell.run("%%holysheep --chat -s 'Be brief.' --dry-run\nAnd then?").out
    assert "[system]\nBe brief.\n" in out
    assert "[assistant]\none\n" in out
    assert "[user]\nAnd then?\n" in out
    assert "[assistant]" not in shell.run("%%holysheep --reset --dry-run\nAnd then?").out
    assert "[user]" in shell.run("%%holysheep --chat other --dry-run\nHello?").out
    conversation = shell.magics.conversations.find("")
    assert (len(conversation.turns), conversation.system) == (1, None)
    assert [known.name for known in shell.magics.conversations] == [""]
    assert relay.stats.requests == 1


def test_only_the_last_turns_are_sent_again(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.history_turns = 2")
    for word in ("one", "two", "three", "four"):
        shell.run(f"%%holysheep --chat\n{said(word)}")
    assert [content for role, content in sent(relay) if role == "assistant"] == ["two", "three"]
    assert shell.run("%holysheep history").out.startswith("4 turns; the last 2 are sent again\n")


@pytest.mark.parametrize(("most", "kept"), [(0, []), (1, ["b"]), (2, ["a", "b"]), (9, ["a", "b"])])
def test_how_many_turns_are_sent(most: int, kept: list[str]) -> None:
    conversation = Conversation()
    for text in ("a", "b"):
        conversation.begin(text)
        conversation.end(text, Turn("?", answered(text)))
    assert [m["content"] for m in conversation.messages(most=most) if m["role"] == "assistant"] == kept


def test_a_stopped_turn_is_kept_and_marked(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%%holysheep --chat --max-cost 0.0005\n[simulate tokens=500 speed=inf]")
    stopped = shell.names["_"]
    assert stopped.state == "stopped"
    shell.run(f"%%holysheep --chat\n{said('go on')}")
    assert sent(relay)[1] == ("assistant", f"{stopped.text}\n\n[The user stopped this answer here.]")
    assert "gpt-4.1 (stopped): " in shell.run("%holysheep history").out


def test_a_turn_that_broke_off_is_kept_and_marked(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%%holysheep --chat\n[simulate tokens=20 speed=inf fault=cut]")
    shell.run(f"%%holysheep --chat\n{said('go on')}")
    assert sent(relay)[1][1].endswith("\n\n[This answer broke off here.]")
    assert "(truncated)" in shell.run("%holysheep history").out


def test_a_turn_without_an_answer_is_none(shell: Shell, relay: EmbeddedRelay) -> None:
    assert shell.run("%%holysheep --chat\n[simulate fault=400]").error is not None
    shell.run(f"%%holysheep --chat\n{said('one')}")
    assert sent(relay) == [("user", said("one"))]


def test_nobody_speaks_in_between() -> None:
    conversation = Conversation("tea")
    conversation.begin("one")
    with pytest.raises(UsageError, match=r"An answer is still arriving in the conversation tea\. Wait"):
        conversation.begin("two")
    conversation.end("two", Turn("?", answered("not his turn")))
    assert conversation.turns == []
    conversation.end("one", Turn("?", answered("a")))
    conversation.begin("two")
    assert len(conversation.turns) == 1


def test_what_is_refused_changes_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run(f"%%holysheep --chat tea -s 'Be brief.'\n{said('one')}")
    conversation = shell.magics.conversations.find("tea")
    conversation.begin("somebody else")
    for cell in ("%%holysheep --chat tea --reset -s 'Be long.'\nAnd?", "%holysheep reset tea"):
        assert "still arriving" in str(shell.run(cell).error)
    conversation.end("somebody else")
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    assert shell.run("%%holysheep --chat tea --reset -s 'Be long.'\nAnd?").error is not None
    assert (len(conversation.turns), conversation.system) == (1, "Be brief.")


def test_a_conversation_begins_anew_only_with_an_answer(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat -s Old.\n{said('one')}")
    assert shell.run("%%holysheep --chat --reset -s New.\n[simulate fault=400]").error is not None
    assert [content for role, content in sent(relay) if role != "user"] == ["New."]
    (conversation,) = shell.magics.conversations
    assert (len(conversation.turns), conversation.system) == (1, "Old.")
    shell.run(f"%%holysheep --chat --reset -s New.\n{said('two')}")
    assert ([turn.answer for turn in conversation.turns], conversation.system) == (["two"], "New.")


def test_conversations_and_settings_outlive_a_reload(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run("%config HolySheepMagics.model = 'deepseek-v3.2'")
    shell.magics.history_turns = 7
    shell.run(f"%%holysheep --chat\n{said('one')}")
    for reload in ("%reload_ext hs_notebook", "%unload_ext hs_notebook\n%load_ext hs_notebook"):
        assert shell.run(reload).error is None
        assert (shell.magics.history_turns, shell.magics.origin("history_turns")) == (7, "set here")
        assert shell.magics.origin("model") == "set here"
    shell.run(f"%%holysheep --chat\n{said('two')}")
    assert sent(relay)[1] == ("assistant", "one")
    assert relay.stats.seen[-1].model == "deepseek-v3.2"


def test_a_cell_that_cannot_ask_gives_the_word_back(shell: Shell) -> None:
    shell.run("%config HolySheepMagics.budget_usd = 0.0000001")
    assert shell.run(f"%%holysheep --chat\n{said('one')}").error is not None
    shell.run("%config HolySheepMagics.budget_usd = None")
    assert shell.run(f"%%holysheep --chat\n{said('one')}").error is None


def test_history_shows_questions_answers_and_states(shell: Shell) -> None:
    shell.run(f"%%holysheep --chat tea -s 'Be brief.'\n{said('x' * 400)}")
    short = shell.run("%holysheep history tea").out
    assert short.startswith("1 turn\n\nsystem: Be brief.\n\n[1] you: [simulate text speed=inf] xxx")
    assert f"gpt-4.1: {'x' * 300}… (400 characters)\n" in short
    assert f"gpt-4.1: {'x' * 400}\n" in shell.run("%holysheep history tea --full").out


@pytest.mark.parametrize("command", ["history", "reset"])
def test_there_is_no_such_conversation(command: str, shell: Shell) -> None:
    none = shell.run(f"%holysheep {command}").error
    assert str(none) == "There is no conversation yet. Begin one with %%holysheep --chat."
    shell.run(f"%%holysheep --chat tea\n{said('one')}")
    assert str(shell.run(f"%holysheep {command} coffee").error).endswith("coffee. There are: tea.")


def test_a_conversation_is_forgotten(shell: Shell, relay: EmbeddedRelay) -> None:
    shell.run(f"%%holysheep --chat tea\n{said('one')}")
    assert shell.run("%holysheep reset tea").out == "1 turn forgotten.\n"
    shell.run(f"%%holysheep --chat tea\n{said('two')}")
    assert len(sent(relay)) == 1


def test_conversations_are_listed_in_order() -> None:
    known = Conversations()
    for name in ("b", "", "a", "b"):
        known.named(name)
    assert [conversation.name for conversation in known] == ["b", "", "a"]


def test_without_a_name_history_and_reset_mean_the_one_that_cells_continue(shell: Shell) -> None:
    shell.run(f"%%holysheep gpt-4.1 --chat\n{said('kept')}")
    shell.run("%config HolySheepMagics.chat = 'work'")
    shell.run(f"%%holysheep gpt-4.1\n{said('for work')}")
    assert "for work" in shell.run("%holysheep history").out
    assert "kept" in shell.run('%holysheep history ""').out
    assert shell.run("%holysheep reset").out == "1 turn forgotten.\n"
    assert shell.run("%holysheep history").out == "0 turns\n"
    assert "kept" in shell.run('%holysheep history ""').out
