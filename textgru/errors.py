"""What textgru raises for reasons that a user can mend; the command line prints the message as its one line."""

LONGEST_SHOWN = 300  # characters of a name in a message


class TextgruError(Exception):
    """A failure at run time (a disk that fills up, a server that does not answer): exit code 1."""

    exit_code = 1


class StorageError(TextgruError):
    """A file that can't be written, for want of space or permission. What was there before stays."""


class InputError(TextgruError, ValueError):
    """Input that can't be used (a file, a run, an option): the message names it, says what is wrong and what to do.

    Exit code 2.
    """

    exit_code = 2


def shown(name: object) -> str:
    """A file's name as a message can have it, in one line and in any encoding: what isn't printable is written with
    backslashes, and so are the bytes of a name that isn't UTF-8. Of a very long one, its start and its end."""
    text = str(name)
    if len(text) > LONGEST_SHOWN:
        text = f"{text[: LONGEST_SHOWN // 2]}...{text[-LONGEST_SHOWN // 2 :]}"
    return escaped(text)


def escaped(text: str, keep: str = "") -> str:
    """A text that a terminal shows as it is: what isn't printable, nor one of the characters `keep`, is written with
    backslashes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )


def percent(share: float) -> str:
    """A share, 0 to 1, in percent; a small one isn't rounded to none, a large one not to all."""
    return f"{100 * share:.1f}%" if 0.001 <= share <= 0.999 or share in (0, 1) else f"{100 * share:.3g}%"
