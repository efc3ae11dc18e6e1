"""Where the command `textgru` begins: nothing is imported before it knows what Ctrl-C means."""

from __future__ import annotations

import signal


def main() -> None:
    """Runs the command line. While it is imported, Ctrl-C ends the process at once, without a traceback."""
    interrupted = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from textgru.cli import main as command

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, interrupted)
    command()
