"""Every command that writes is killed before each of its writes: an opened file, a flush, a renaming, a removal.

    python -m benchmarks.kills_at_writes [--only COMMAND] [--every N]

The command runs in a process of its own, which sends itself SIGKILL before the first of them, the second and so on,
once where nothing stood in the place and once over what another call had written. After each kill the place has what
stood there or the new one, whole (a run is asked for a text, of an export's folder each file counts); called again the
command leaves the same bytes as if nothing had happened, and no other file. A training is called again with --resume
where there is something to go on from. `benchmarks.kills_of_commands` and `benchmarks.kills` kill at random moments.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.damage import TEXT
from benchmarks.kills_of_commands import COMMANDS, content
from textgru.cli import main as command_line

LONGEST = 120  # seconds of a call
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
TRAINING = (
    "--max-steps 6 --eval-every 2 --checkpoint-every 1 --batch-size 4 --seq-length 8 --embedding-size 4 --hidden-size 8"
)
ALL = {
    **COMMANDS,
    "train": f"train {{run}}.txt --out {{out}} --overwrite {TRAINING}",
    "plot": "plot {run} --out {out}.svg",
}  # fmt: skip
ABANDONED = 7200  # seconds ago: when the cache was last used, as far as its files tell


@dataclass(frozen=True)
class Ended:
    """How a call ended: its exit code, or minus a signal's number; how often it would have written; what it said."""

    code: int
    writes: int
    said: str
    errors: str


def _is_write(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return _inside(arguments[0]) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES and _inside(arguments[0])


def _inside(path: Any) -> bool:
    """Whether it is a path in the folder in which the command was called."""
    return isinstance(path, (str, os.PathLike)) and Path.cwd() in (Path.cwd() / path).parents


def call(folder: Path, words: list[str], at: int = 0) -> Ended:
    """Calls a command in a folder, in a process of its own that is killed before its write number `at`."""
    report = Path(f"{folder}.report")
    report.mkdir(exist_ok=True)
    (report / "writes").unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            _called(folder, words, at, report)
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    writes = int((report / "writes").read_text()) if (report / "writes").exists() else at
    texts = [(report / name).read_text(errors="replace") for name in ("said", "errors")]
    return Ended(os.waitstatus_to_exitcode(status), writes, *texts)


def _called(folder: Path, words: list[str], at: int, report: Path) -> None:
    signal.alarm(LONGEST)
    os.chdir(folder)
    os.environ["TEXTGRU_CACHE"] = str(folder / "cache")
    for number, name in ((1, "said"), (2, "errors")):
        os.dup2(os.open(report / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    writes, flush = 0, os.fsync

    def count() -> None:
        nonlocal writes
        writes += 1
        if writes == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(file: Any) -> None:
        count()
        flush(file)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _is_write(event, arguments):
            count()

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(hook)
    try:
        command_line(words)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    sys.stdout.flush()
    found, at = writes, 0
    (report / "writes").write_text(str(found))
    os._exit(code)


class Place:
    """A folder in which a command is called, and what it leaves there with one run and with the other."""

    def __init__(self, folder: Path, command: str, sources: Path) -> None:
        self.folder, self.command, self.sources = folder, command, sources
        self.out = folder / ("out.svg" if ".svg" in command else "out")
        self.wanted = {run: self._left(run) for run in ("two", "one")}
        self.texts = {run: self.text(run) for run in ("two", "one")}
        assert self.wanted["one"] != self.wanted["two"], f"{command}: both runs leave the same"

    def words(self, run: str) -> list[str]:
        """The command with this run."""
        return self.command.format(run=run, out="out").split()

    def again(self) -> list[str]:
        """What goes on after a kill."""
        going_on = self.words("one")[0] == "train" and (self.out / "training" / "state.safetensors").is_file()
        if going_on and "one.txt" in (self.out / "config.json").read_text():
            return ["train", "--resume", "out"]
        return self.words("one")

    def fresh(self, run: str | None) -> None:
        """As it is where this run's call was the last, or none."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.sources if run is None else Path(f"{self.folder}.{run}"), self.folder, symlinks=True)

    def _left(self, run: str) -> dict[str, bytes]:
        self.fresh(None)
        ended = call(self.folder, self.words(run))
        assert ended.code == 0, f"{self.command}: {ended.errors}"
        shutil.copytree(self.folder, f"{self.folder}.{run}", symlinks=True)
        return content(self.out)

    def text(self, run: str | None = None) -> str | None:
        """What a run in the place writes; None where there is no run."""
        if run is not None:
            self.fresh(run)
        if "config.json" not in self.wanted["one"] or not (self.out / "model.safetensors").exists():
            return None
        ended = call(self.folder, ["sample", "out", "-n", "30", "-s", "1"])
        assert ended.code == 0, f"{self.command}: what is left can't be used: {ended.errors}"
        return ended.said

    def names(self) -> list[str]:
        """All files."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def kill(self, before: str | None, at: int) -> bool:
        """One kill; false where the command ended before. Raises AssertionError."""
        self.fresh(before)
        ended = call(self.folder, self.words("one"), at)
        if ended.code == 0:
            return False
        assert ended.code == -signal.SIGKILL, f"exit code {ended.code}: {ended.errors}"
        if any(self.texts.values()):
            text = self.text()
            assert text in (self.texts["one"], self.texts[before] if before else None), f"left is neither run: {text}"
        else:
            allowed = [self.wanted["one"], self.wanted[before] if before else {}]
            for name, data in content(self.out).items():
                assert any(files.get(name) == data for files in allowed), f"{name or 'the file'} is neither"
        for path in self.folder.glob("cache/.new-*"):
            os.utime(path, (path.stat().st_atime - ABANDONED, path.stat().st_mtime - ABANDONED))
        ended = call(self.folder, self.again())
        assert ended.code == 0, f"called again: {ended.errors}"
        assert content(self.out) == self.wanted["one"], "called again it leaves something else"
        found, names = self.names(), self._names_of_one
        assert found == names, f"left: {sorted(set(found) ^ set(names))}"
        return True

    def kill_all(self, every: int) -> str:
        """A kill before each write; a line about them."""
        kills = []
        for before in (None, "two"):
            self.fresh(before)
            writes = call(self.folder, self.words("one")).writes
            self._names_of_one = self.names()
            kills.append(0)
            for at in range(1, writes + 1, every):
                try:
                    kills[-1] += self.kill(before, at)
                except AssertionError as error:
                    raise AssertionError(f"{self.command}, over {before}, write {at} of {writes}: {error}") from error
        return f"{kills[0]:4} kills where nothing was, {kills[1]:4} over another"


def make_sources(folder: Path) -> None:
    """Two small runs, and texts."""
    folder.mkdir()
    for name, text in (
        ("one.txt", TEXT[:1500]),
        ("two.txt", TEXT[:1400]),
        ("more.txt", TEXT[:6000]),
        ("few.txt", TEXT[:100]),
    ):
        (folder / name).write_text(text)
    for seed, run in enumerate(("one", "two")):
        words = f"train more.txt --out {run} --seed {seed} --max-steps 5 --no-cache --hidden-size 16 --embedding-size 8"
        ended = call(folder, [*words.split(), "--batch-size", "8", "--seq-length", "16"])
        assert ended.code == 0, ended.errors


def main(say: Callable[..., None] = print) -> None:
    """Kills all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="COMMAND", choices=ALL, help="or " + ", ".join(ALL))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth write (default: %(default)s)")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        make_sources(Path(name) / "sources")
        failures = 0
        for what, command in ALL.items():
            if options.only in (None, what):
                try:
                    place = Place(Path(name) / what.replace(" ", "-"), command, Path(name) / "sources")
                    say(f"{what:12} {place.kill_all(options.every)}", flush=True)
                except AssertionError as error:
                    failures += 1
                    say(f"{what:12} FAILED: {error}", flush=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
