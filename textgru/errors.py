"""What textgru raises for reasons that a user can mend; the command line prints the message as its one line."""


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
