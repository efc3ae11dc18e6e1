"""Odd options and odd texts: every command is called with them, on runs that are sound.

    python -m benchmarks.fuzz [--cases N] [--seed N] [--processes N] [--only CASE]

As in benchmarks.damage, which damages the runs: a command answers with an exit code of 0, 1 or 2, of which the latter
two come with one line on standard error; nothing crashes or hangs, no process takes more than a gigabyte. A case is a
number: `--only` repeats it, with the traceback. `serve` and what asks at every turn are left out.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections import Counter
from pathlib import Path

import click

from benchmarks.damage import MOST_BYTES, answer_of, main
from textgru.cli import main as command_line

# More than any option takes, so that nothing is asked for that would take for ever.
NUMBERS = ["-1", "0", "1", "2", "3", "0.5", "1e-320", "nan", "inf", "-inf", "x", "", "99999999999999999999999", "007",
           "1_000", "2.9", " 1", "0x10", "1e400", "\u0663"]  # fmt: skip
DEVICE = "null"  # a link to one: as the root user a command could replace the device itself
WORDS = ["", "x", "-", "--", "é" * 300, "\udcff", ".", "..", "/", DEVICE, "a/b/c", "*", "%s", "{n}", "\\n",
         "\u202e", "=", "#1=2", "e=1", "(", "[a-z]+", "a" * 5000, "~", "\n", "text.txt", "good"]  # fmt: skip
LEFT_OUT = {"serve", "help", "corpora"}
NEVER = {"interactive", "help", "version", "debug"}
QUICK = {
    "train": ["--max-steps", "1", "--batch-size", "2", "--seq-length", "4", "--hidden-size", "4", "--no-cache"],
    "sample": ["--length", "5"],
}  # fmt: skip


def odd_text(rng: random.Random) -> bytes:
    """Bytes that are a text, or nearly one."""
    parts = [
        b"", b"a", b"\n", b"\r\n\r", b"\x00" * 9, b"\xff\xfe", b"\xef\xbb\xbf", "\u2028\u0301é𝄞".encode(),
        b"\xed\xa0\x80", b"<|endoftext|>", rng.randbytes(rng.choice((1, 7, 300))),
        b"The ferry was late. " * rng.choice((1, 40)),
        b"\t " * 99, b"\x1b[31m", b"\xf4\x90\x80\x80", b"\x80" * 50, b"\x1f\x8b\x08", b"(\xb5/\xfd",
    ]  # fmt: skip
    return b"".join(rng.choice(parts) for _ in range(rng.choice((1, 2, 5, 30))))


def odd_call(rng: random.Random) -> list[str]:
    """A command with some of its options and arguments, each as it may come."""
    context = click.Context(command_line)
    names = [name for name in command_line.list_commands(context) if name not in LEFT_OUT]
    command = command_line.get_command(context, name := rng.choice(names))
    assert command is not None
    call, options = [name], [one for one in command.params if isinstance(one, click.Option) and one.name not in NEVER]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            count = rng.choice((0, 1, 1, 1, 2))
            wanted = "good" if parameter.name == "run" else "text.txt"
            call += [wanted if rng.random() < 0.8 else rng.choice(["good", *WORDS]) for _ in range(count)]
    for option in rng.sample(options, min(len(options), rng.choice((0, 1, 1, 2, 4)))):
        call.append(rng.choice(option.opts))
        if option.is_flag:
            continue
        choices = list(getattr(option.type, "choices", ()))
        call.append(str(rng.choice([rng.choice(choices or WORDS), rng.choice(NUMBERS), rng.choice(WORDS)])))
    return [*call[:1], *QUICK.get(name, []), *call[1:]]


def one_case(number: int, folder: Path, runs: Path) -> tuple[str, Counter[str]]:
    """The call, and how it answered."""
    rng = random.Random(number)
    place = folder / "place" / "of" / "calls"
    shutil.rmtree(folder / "place", ignore_errors=True)
    place.mkdir(parents=True)
    shutil.copytree(runs / rng.choice(sorted(path.name for path in runs.iterdir())), place / "good")
    (place / "text.txt").write_bytes(odd_text(rng))
    (place / DEVICE).symlink_to(os.devnull)
    call, given = odd_call(rng), odd_text(rng)
    before = Path.cwd()
    os.chdir(place)
    try:
        answer = answer_of(call, given)
    except AssertionError as error:
        error.add_note(repr(call)) if hasattr(error, "add_note") else None
        raise
    finally:
        os.chdir(before)
    assert (place / DEVICE).is_symlink(), f"a device was replaced: {call!r}"
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert used < MOST_BYTES, f"{used / 1e6:,.0f} MB of memory"
    return repr(call), Counter({f"{call[0]}: {answer}": 1})


if __name__ == "__main__":
    main(__doc__, "benchmarks.fuzz", one_case)
