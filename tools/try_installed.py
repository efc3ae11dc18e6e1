"""Uses the installed package as a newcomer would: trains a small model on the text that comes with it, and samples.

    python tools/try_installed.py [--seconds N]

Imports nothing from the directory it is started in. Ends with exit code 1 where something isn't as it should be.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def textgru(*arguments: str, home: Path) -> str:
    command = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-B", "-m", "textgru", *arguments]
    environment = {**os.environ, "TEXTGRU_CACHE": str(home / "cache")}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="how long to train (default: 5)")
    seconds = parser.parse_args().seconds
    from textgru import core, corpora

    text = Path(corpora.__file__).with_name("ostrey.txt")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        textgru("train", str(text), "--out", "run", "--max-minutes", str(seconds / 60), home=home)
        written = textgru("sample", "run", "--length", "200", "--seed", "1", home=home)
        again = textgru("sample", "run", "--length", "200", "--seed", "1", home=home)
    print(written)
    if len(written) < 200 or written != again:
        sys.exit("the sample is too short, or another one for the same seed")
    print(f"{Path(core.__file__).parent}: works", file=sys.stderr)


if __name__ == "__main__":
    main()
