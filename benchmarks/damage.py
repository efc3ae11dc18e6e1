"""Damaged run directories: every file of a run is changed at random, and every command that reads runs is called.

    python -m benchmarks.damage [--cases N] [--seed N] [--processes N] [--only CASE]

Whatever is in a run, a command answers with an exit code of 0, 1 or 2, of which the latter two come with one line on
standard error; the library raises TextgruError or InputError; nothing crashes or hangs, no process takes more than a
gigabyte. A case is a number: `--only` repeats it, with the traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import textgru
from textgru.cli import main as command_line
from textgru.training.run import TrainingRun

MOST_BYTES = 1 << 30  # of memory
LONGEST = 120.0  # seconds that a case may take, where others run beside it
TEXT = "The ferry was late, and the miller's cat had gone across before it. Ж€𝄞\n" * 120
# number, folder for its files, runs -> what was done, the answers; raises AssertionError
Case = Callable[[int, Path, Path], tuple[str, Counter[str]]]
SMALL: dict[str, Any] = {"hidden_size": 8, "embedding_size": 4}
STEPS: dict[str, Any] = {"batch_size": 4, "seq_length": 8, "max_steps": 24, "eval_every": 8, "checkpoint_every": 5}

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2.9, 1e308, -1e308, 10**18, 2**63, 2**64, 10**400, "", "x", "nan", "\ud800", "\0",
    "é" * 3000, [], {}, [None], [[]], {"a": 1}, ["x"] * 50, float("nan"), float("inf"), 1e-320, "0", "-", "1970-01-01",
]  # fmt: skip
RAW = ["[" * 3000, '{"a":' * 2000, "1" * 5000, "1e999", "-", '"\\ud800"', "\0", "\ufeff{}", "Infinity", "{" * 10**5]


def make_runs(folder: Path) -> None:
    """A run of each kind, two of them unfinished."""
    text = folder / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    for kind in ("char", "byte", "bpe"):
        options: dict[str, Any] = {"tokenizer": kind, "vocab_size": 300 if kind == "bpe" else None, "sample_every": 2}
        textgru.train(text, folder / "runs" / kind, cache=False, **SMALL, **STEPS, **options)
        with TrainingRun(
            [text], folder / "runs" / f"unfinished-{kind}", network=SMALL, training=STEPS, tokenizer=kind, cache=False
        ) as run:
            for event in run.events():
                if getattr(event, "step", 0) == 13:
                    run.stop()
    textgru.load(folder / "runs" / "char").save(folder / "runs" / "int8", precision="int8")


def damage(run: Path, rng: random.Random) -> str:
    """Changes a file or several of a run; what was done."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        files = sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())
        if not files:
            break
        file = rng.choice(files)
        ways = [_bytes, _bytes, _place]
        if file.suffix in (".json", ".jsonl"):
            ways += [_json] * 7
        if file.suffix == ".safetensors":
            ways += [_header] * 7
        way = rng.choice(ways)
        done.append(f"{file.relative_to(run)} {way.__name__}: {way(file, rng)}")
    return "; ".join(done)


def _bytes(file: Path, rng: random.Random) -> str:
    data = bytearray(file.read_bytes())
    way = rng.choice(("flip", "cut", "insert", "delete", "zero", "append", "double", "empty"))
    at, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 7, 64, 4096))
    if way == "flip" and data:
        data[at % len(data)] ^= 1 << rng.randrange(8)
    elif way == "cut":
        del data[at:]
    elif way == "insert":
        data[at:at] = rng.randbytes(size)
    elif way == "delete":
        del data[at : at + size]
    elif way == "zero":
        data[at : at + size] = bytes(len(data[at : at + size]))
    elif way == "append":
        data += rng.randbytes(size)
    elif way == "double":
        data += bytes(data)
    elif way == "empty":
        data.clear()
    file.write_bytes(data)
    return f"{way} at {at}"


def _place(file: Path, rng: random.Random) -> str:
    """Something else stands where the file was."""
    way = rng.choice(("missing", "folder", "loop", "broken link", "device", "unreadable", "another"))
    data = file.read_bytes()
    file.unlink()
    if way == "folder":
        file.mkdir()
        (file / "inner").touch()
    elif way == "loop":
        file.symlink_to(file.name)
    elif way == "broken link":
        file.symlink_to("nothing-there")
    elif way == "device":
        os.mkfifo(file)
    elif way == "unreadable":
        file.write_bytes(data)
        file.chmod(0)
    elif way == "another":
        others = sorted(path for path in file.parents[1].rglob("*") if path.is_file() and not path.is_symlink())
        if others:
            shutil.copyfile(rng.choice(others), file)
    return way


def _json(file: Path, rng: random.Random) -> str:
    try:
        text = file.read_text(encoding="utf-8")
        lines = text.split("\n") if file.suffix == ".jsonl" else [text]
        number = rng.randrange(len(lines))
        lines[number], done = _changed(lines[number], rng)
        file.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):  # it is damaged already
        return _bytes(file, rng)
    return done


def _changed(text: str, rng: random.Random) -> tuple[str, str]:
    """A JSON document with one value changed."""
    value = json.loads(text)
    places = list(_places(value))
    if not places or rng.random() < 0.05:
        raw = rng.choice(RAW)
        return raw, f"all -> {raw[:9]!r}"
    container, key = rng.choice(places)
    way = rng.choice(("odd", "odd", "odd", "raw", "delete", "rename", "number", "swap"))
    if way == "raw":
        container[key] = "@here@"
        raw = rng.choice(RAW)
        return json.dumps(value).replace('"@here@"', raw), f"{key} -> {raw[:9]!r}"
    if way == "delete":
        del container[key]
    elif way == "rename" and isinstance(container, dict):
        container[rng.choice(("x", "", "format_version", "é"))] = container.pop(key)
    elif way == "number" and isinstance(container[key], (int, float)):
        container[key] = rng.choice((-1, 0.5, 2, 10, -1e3, 1e6, 1e18)) * container[key]
    elif way == "swap":
        container[key] = rng.choice(places)[0]
        with contextlib.suppress(ValueError):
            return json.dumps(value), f"{key} -> another part"
        container[key] = None
    else:
        container[key] = rng.choice(ODD)
    return json.dumps(value), f"{key} -> {str(container.get(key) if isinstance(container, dict) else '')[:20]!r}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value: its container and key; of long ones some."""
    if isinstance(value, (dict, list)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        for key in keys[:40]:
            yield value, key
            yield from _places(value[key])


def _header(file: Path, rng: random.Random) -> str:
    """Changes the header of a safetensors file, or the JSON in its metadata."""
    data = file.read_bytes()
    try:
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + size])
        metadata = header.get("__metadata__") or {}
        name = rng.choice(sorted(metadata)) if metadata and rng.random() < 0.6 else None
        if name is not None:
            metadata[name], done = _changed(metadata[name], rng)
            text = json.dumps(header)
        else:
            text, done = _changed(json.dumps(header), rng)
    except (ValueError, struct.error, AttributeError, TypeError, RecursionError):
        return _bytes(file, rng)
    encoded = text.encode("utf-8", "surrogatepass")
    length = len(encoded) if rng.random() < 0.95 else rng.choice((0, 1, 2**63, len(encoded) + 5))
    file.write_bytes(struct.pack("<Q", length) + encoded + data[8 + size :])
    return f"header, {name}: {done}"


def use(run: Path, folder: Path, rng: random.Random) -> Counter[str]:
    """Calls what reads runs; raises AssertionError where one doesn't answer as it should. The answers, counted."""
    answers: Counter[str] = Counter()
    copy = folder / "copy"
    calls: list[tuple[str, ...]] = [
        ("info", str(run)), ("info", str(run), "--json"), ("compare", str(run), str(run.parent / "good")),
        ("compare", str(run), "--json"), ("plot", str(run), "--x", rng.choice(("steps", "tokens", "minutes"))),
        ("sample", str(run), "-n", "9", "--seed", "1"), ("eval", str(run), str(folder / "few.txt"), "--json"),
        ("quantize", str(run), "--out", str(copy), "--overwrite"), ("train", "--resume", str(run), "--dry-run"),
        ("train", str(folder / "text.txt"), "--init-from", str(run), "--out", str(copy), "--max-steps", "1",
         "--batch-size", "4", "--seq-length", "8", "--overwrite", "--no-cache"),
        ("train", "--resume", str(run)),
    ]  # fmt: skip
    for call in calls:
        answers[f"{call[0]}: {answer_of(call)}"] += 1
    try:
        model = textgru.load(run)
        model.generate("The ", length=5, seed=1)
        model.perplexity("The ferry")
        answers["load: 0"] += 1
    except textgru.TextgruError:
        answers["load: refused"] += 1
    return answers


def answer_of(call: Sequence[str], given: bytes = b"") -> int:
    """The exit code of a command, with this standard input. Raises AssertionError where it doesn't answer as it should:
    with 0, 1 or 2, the latter two with one line on standard error, and no traceback."""
    result = CliRunner().invoke(command_line, list(call), input=given)
    name = " ".join([*call[:1], *(word for word in call[1:] if word.startswith("--"))])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{name}: {type(result.exception).__name__}: {result.exception}") from result.exception
    assert result.exit_code in (0, 1, 2), f"{name}: exit code {result.exit_code}"
    errors = [line for line in result.stderr.splitlines() if line.startswith("textgru: error: ")]
    assert len(errors) == (result.exit_code != 0), f"{name}: exit code {result.exit_code}: {result.stderr[:500]}"
    odd = ("Traceback", "Warning") if result.exit_code == 0 else ("",)  # else there may be what a command reports
    own = ("textgru: ", "seed ")
    others = [s for s in result.stderr.splitlines() if not s.startswith(own) and any(word in s for word in odd)]
    assert not others, f"{name}: {others[0][:300]}"
    assert all(len(line) < 1500 for line in errors), f"{name}: a message of {len(errors[0])} characters"
    return result.exit_code


def one_case(number: int, folder: Path, runs: Path) -> tuple[str, Counter[str]]:
    """What was damaged, and how the commands answered. Raises AssertionError."""
    rng = random.Random(number)
    run = folder / "run"
    for old in (run, folder / "copy"):
        if old.exists():
            shutil.rmtree(old)
    shutil.copytree(runs / rng.choice(sorted(path.name for path in runs.iterdir())), run)
    done = damage(run, rng)
    try:
        answers = use(run, folder, rng)
    except AssertionError as error:
        error.add_note(done) if hasattr(error, "add_note") else None
        raise
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert used < MOST_BYTES, f"{used / 1e6:,.0f} MB of memory"
    return done, answers


@contextlib.contextmanager
def prepared(runs: Path) -> Iterator[Path]:
    """A folder for cases, with what the commands need besides the damaged run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(runs / "char", folder / "good")
        (folder / "text.txt").write_text(TEXT[:3000], encoding="utf-8")
        (folder / "few.txt").write_text(TEXT[:50], encoding="utf-8")
        yield folder


def work(first: int, last: int, step: int, runs: Path, case: Case) -> None:
    """A process's cases: before each its number, then what came of it, as lines of JSON."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with prepared(runs) as folder:
        for number in range(first, last, step):
            print(json.dumps({"case": number}), flush=True)
            try:
                _, answers = case(number, folder, runs)
                print(json.dumps({"answers": answers}), flush=True)
            except Exception as error:
                notes = "; ".join(getattr(error, "__notes__", ()))
                print(json.dumps({"failed": f"{error} [{notes}]"[:1500]}), flush=True)


class Worker:
    """A process that works through cases, and is started again after one that ended it or took too long."""

    def __init__(self, first: int, last: int, step: int, runs: Path, module: str) -> None:
        self._module = module
        self._next, self._last, self._step, self._runs = first, last, step, runs
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._start()

    def _start(self) -> None:
        arguments = [str(self._next), str(self._last), str(self._step), str(self._runs)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, "--work", *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "TEXTGRU_CACHE": os.devnull},
        )  # fmt: skip
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._since, self._case, self._line = time.monotonic(), self._next, ""

    def look(self) -> bool:
        """Takes what the process has said; whether it has ended with nothing left to do."""
        assert self._process.stdout is not None
        ended = self._process.poll() is not None
        while line := self._process.stdout.readline():
            self._line += line
            if not line.endswith("\n"):  # the rest is still to come
                continue
            said, self._line = json.loads(self._line), ""
            self._since = time.monotonic()
            self._case = said.get("case", self._case)
            self.answers.update(said.get("answers", {}))
            if "failed" in said:
                self.failures.append(f"case {self._case}: {said['failed']}")
        if time.monotonic() - self._since > LONGEST:
            self._process.kill()
            self._process.wait()
            self._again(f"took more than {LONGEST:.0f} s")
        elif ended and self._process.returncode != 0:
            self._again(f"the process ended with {self._process.returncode}")
        else:
            return ended
        return False

    def _again(self, why: str) -> None:
        self.failures.append(f"case {self._case}: {why}")
        self._next = self._case + self._step
        self._start()


def main(description: str | None = __doc__, module: str = "benchmarks.damage", case: Case = one_case) -> None:
    """`module`: the one that is called, whose cases these are."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first one's number (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="side by side (default: %(default)s)")
    parser.add_argument("--only", type=int, help="this case alone, with its traceback")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        first, last, step, runs = arguments.work
        work(int(first), int(last), int(step), Path(runs), case)
        return
    with tempfile.TemporaryDirectory() as name:
        make_runs(Path(name))
        runs = Path(name, "runs")
        if arguments.only is not None:
            signal.alarm(int(LONGEST))
            with prepared(runs) as folder:
                try:
                    print(*case(arguments.only, folder, runs))
                except AssertionError:
                    traceback.print_exc()
                    sys.exit(1)
            return
        last = arguments.seed + arguments.cases
        step = arguments.processes
        workers = [Worker(arguments.seed + i, last, step, runs, module) for i in range(step)]
        _wait_for(workers, lambda: sum(worker.answers.total() for worker in workers))
    answers = sum((worker.answers for worker in workers), Counter[str]())
    for answer, count in sorted(answers.items()):
        print(f"{answer:22} {count:9,}")
    failures = [failure for worker in workers for failure in worker.failures]
    print(f"{arguments.cases:,} cases, {answers.total():,} calls, {len(failures)} failures", *failures, sep="\n")
    sys.exit(bool(failures))


def _wait_for(workers: list[Worker], count: Callable[[], int]) -> None:
    told = time.monotonic()
    waiting = list(workers)
    while waiting:
        waiting = [worker for worker in waiting if not worker.look()]
        time.sleep(0.05)
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"{count():,} calls", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
