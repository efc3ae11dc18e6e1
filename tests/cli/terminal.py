"""textgru on a terminal."""

import os
import pty
import subprocess
import sys


def on_terminal(*arguments, stream="stdout", **variables):
    """What textgru writes to a terminal on this stream, with these environment variables; it has to succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | variables
    ours, theirs = pty.openpty()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs}
    with subprocess.Popen([sys.executable, "-m", "textgru", *arguments], **streams, env=environment) as process:
        os.close(theirs)
        output = b""
        try:
            while piece := os.read(ours, 65536):
                output += piece
        except OSError:  # how Linux says that the other side is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    return output.decode()
