"""textgru sample --interactive: a prompt, text after it, the next prompt after that text, and so on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from textgru.cli.prompts import unescaped
from textgru.cli.signals import asked
from textgru.errors import InputError, TextgruError
from textgru.generation.generate import random_numbers
from textgru.generation.settings import GenerationSettings, Settings
from textgru.text.files import normalise
from textgru.typed import shown

if TYPE_CHECKING:
    from textgru.generation.state import State
    from textgru.language_model import LanguageModel

MARK = "> "
SHOWN_END = 60  # characters of the text that /undo leaves
LISTS = ("stop_tokens", "logit_bias", "banned", "dry_breakers")  # of ids: nothing to type
CONSTRAINTS = ("regex", "grammar", "json_schema")  # where a text stands in one can't be kept for the next turn
HELP = """\
A line is read by the model after all that stands there so far, then it goes on from it. \\n in it is a line end; an
empty line only lets it go on. Ctrl-C ends a text, Ctrl-D or /quit the conversation.
/NAME VALUE   set {names}
/NAME off     no value
/show         the settings
/undo         take the last line and the text after it back
/reset        begin anew
/help         this
/quit         end"""


def converse(model: LanguageModel, prompt: str, state: State | None, settings: dict[str, Any]) -> None:
    """Asks for lines on standard input and writes text after each, until it ends."""
    conversation = Conversation(model, state, settings)
    if prompt:
        click.echo(prompt, nl=False)
        conversation.say(prompt)
    ask = _ask()
    while True:
        try:
            line = ask()
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo("(Ctrl-D or /quit to leave)")
            continue
        if line.startswith("/"):
            if not conversation.command(line[1:]):
                return
        else:
            conversation.say(unescaped(line))


class Conversation:
    """What has been said so far, as the model's state, and how it goes on."""

    def __init__(self, model: LanguageModel, state: State | None, settings: dict[str, Any]) -> None:
        self._model, self._begin, self._settings = model, state, settings
        self._state = state
        self._end = ""  # of the text so far
        self._before: list[tuple[State | None, str]] = []
        self._rng = self._seeded()

    def say(self, text: str) -> None:
        """Reads a text, and writes what follows."""
        unknown = self._model.tokenizer.unknown_characters(normalise(text))
        if unknown:
            click.echo(f"(the model has never seen {', '.join(map(ascii, unknown))})")
        try:
            stream = self._model.stream(text, state=self._state, **{**self._settings, "seed": self._rng})
        except TextgruError as error:
            click.echo(f"({error})")
            return
        self._before.append((self._state, self._end))
        stopped: list[int] = []
        with asked(stopped.append):
            parts = [text]
            for piece in stream:
                click.echo(piece, nl=False)
                parts.append(piece)
                if stopped:
                    break
            rest = stream.close() if stopped else ""
            click.echo(rest)
        self._end = (self._end + "".join(parts) + rest)[-SHOWN_END:]
        self._state = stream.state

    def command(self, line: str) -> bool:
        """Does what a line after "/" says; whether the conversation goes on."""
        name, _, value = line.strip().partition(" ")
        name, value = name.replace("-", "_"), value.strip()
        if name == "quit":
            return False
        if name == "help":
            click.echo(HELP.format(names=", ".join(_names())))
        elif name == "show":
            self._show()
        elif name == "undo":
            self._undo()
        elif name == "reset":
            self._before.append((self._state, self._end))
            self._state, self._end = self._begin, ""
        elif name in _names():
            self._set(name, value)
        else:
            click.echo(f"(no command /{name}; /help lists them)")
        return True

    def _show(self) -> None:
        now = Settings.of(self._settings)
        values = {**vars(now.sampling), **vars(now.stopping), "seed": now.seed}
        for name in _names():
            value = values[name]
            click.echo(f"{name.replace('_', '-'):<20}{'off' if value in (None, ()) else shown(value)}")

    def _undo(self) -> None:
        if not self._before:
            click.echo("(nothing to take back)")
            return
        self._state, self._end = self._before.pop()
        click.echo(f"(it ends with {self._end!r})" if self._end else "(back at the beginning)")

    def _set(self, name: str, value: str) -> None:
        wanted = {**self._settings, name: _value(name, value)}
        if wanted[name] is None and name not in ("length", "length_chars", "seed"):
            del wanted[name]  # its default: off, for most
        try:
            Settings.of(wanted)
            next(random_numbers(wanted["seed"]))
        except InputError as error:
            click.echo(f"({error})")
            return
        self._settings = wanted
        if name == "seed":
            self._rng = self._seeded()

    def _seeded(self) -> Any:
        random = None if self._begin is None else self._begin.random
        if self._settings["seed"] is None and random is not None:
            return random.generator()
        return next(random_numbers(self._settings["seed"]))


def _names() -> list[str]:
    return [name for name in GenerationSettings.__annotations__ if name not in (*LISTS, *CONSTRAINTS)]


def _value(name: str, text: str) -> Any:
    """What was typed as a setting: nothing, a number or a text."""
    if text in ("", "off", "none"):
        return () if name == "stop" else None
    if name in ("stop", "stop_at", "stop_regex"):
        return unescaped(text) if name == "stop" else text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _ask() -> Callable[[], str]:
    """What reads a line: with editing and history where prompt_toolkit is installed and somebody types."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _line
    try:
        from prompt_toolkit import PromptSession
    except ImportError:
        click.echo("(pip install 'textgru[interactive]' for editing and history; /help)")
        return lambda: input(MARK)
    session: Any = PromptSession()
    click.echo("(/help)")
    return lambda: str(session.prompt(MARK))


def _line() -> str:
    """The next line of standard input that nobody types."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
