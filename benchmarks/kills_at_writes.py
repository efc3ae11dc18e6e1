"""Every command that writes is killed before each of its writes: an opened file, a flush, a renaming, a removal.

    python -m benchmarks.kills_at_writes [--only COMMAND] [--every N] [--fault ENOSPC]

The command runs in a process of its own, which sends itself SIGKILL before the first of them, the second and so on,
once where nothing stood in the place and once over what another call had written. After each kill the place has what
stood there or the new one, whole (a run is asked for a text, of an export's folder each file counts); called again the
command leaves the same bytes as if nothing had happened, and no other file. A training is called again with --resume
where there is something to go on from. `benchmarks.kills_of_commands` and `benchmarks.kills` kill at random moments.

With --fault nothing is killed: from that write on each fails with this error (ENOSPC: the disk is full, but files can
be removed; EROFS: nothing can be changed any more), and the command ends with one line about it. With EPERM there are
no hard links, and nothing may be otherwise than with them.
"""

from __future__ import annotations

import argparse
import errno
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
FAULTS = {
    "ENOSPC": {"open", "fsync", "os.mkdir", "os.link", "os.rename"},
    "EIO": {"open", "fsync", "os.rename"},
    "EROFS": {"open", "fsync", *CHANGES},
    "EPERM": {"os.link"},
}
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


def call(folder: Path, words: list[str], at: int = 0, fault: str | None = None) -> Ended:
    """Calls a command in a folder, in a process of its own that is killed before its write number `at`; with `fault`
    that and those after it fail instead."""
    report = Path(f"{folder}.report")
    report.mkdir(exist_ok=True)
    (report / "writes").unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            _called(folder, words, at, report, fault)
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    writes = int((report / "writes").read_text()) if (report / "writes").exists() else at
    texts = [(report / name).read_text(errors="replace") for name in ("said", "errors")]
    return Ended(os.waitstatus_to_exitcode(status), writes, *texts)


def _called(folder: Path, words: list[str], at: int, report: Path, fault: str | None) -> None:
    signal.alarm(LONGEST)
    os.chdir(folder)
    os.environ["TEXTGRU_CACHE"] = str(folder / "cache")
    for number, name in ((1, "said"), (2, "errors")):
        os.dup2(os.open(report / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    writes, flush = 0, os.fsync

    def count(event: str, file: Any) -> None:
        nonlocal writes
        writes += 1
        if fault is None and writes == at:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault is not None and writes >= at > 0 and event in FAULTS[fault]:
            number = getattr(errno, fault)
            raise OSError(number, os.strerror(number), *([str(file)] if isinstance(file, (str, Path)) else []))

    def fsync(file: Any) -> None:
        count("fsync", file)
        flush(file)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _is_write(event, arguments):
            count(event, arguments[0])

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

    def kill(self, before: str | None, at: int, fault: str | None) -> bool:
        """One kill; false where the command ended before. Raises AssertionError."""
        self.fresh(before)
        ended = call(self.folder, self.words("one"), at, fault)
        if ended.code == 0 and fault is None:
            return False
        if fault is None:
            assert ended.code == -signal.SIGKILL, f"exit code {ended.code}: {ended.errors}"
        else:
            self._check_fault(ended, before, fault)
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

    def _check_fault(self, ended: Ended, before: str | None, fault: str) -> None:
        """Whether it said in one line what failed, and left nothing of what it had begun."""
        lines = [line for line in ended.errors.splitlines() if line.startswith("textgru: error: ")]
        if fault == "EPERM" or ended.code == 0:
            assert (ended.code, lines) == (0, []), f"exit code {ended.code}: {ended.errors}"
            assert content(self.out) == self.wanted["one"], "it says nothing, and leaves something else"
            return
        assert ended.code in (1, 2), f"exit code {ended.code}: {ended.errors}"
        assert len(lines) == 1, f"{len(lines)} lines: {ended.errors}"
        assert os.strerror(getattr(errno, fault)) in lines[0], lines[0]
        new = (self.out / "training.new" / "commit.json").exists()  # it belongs to the run that was put in place
        left = [
            one for one in self.names() if one.endswith((".partial", ".new")) and not (new and one.endswith("g.new"))
        ]
        assert fault == "EROFS" or not left, f"left: {left}"

    def kill_all(self, every: int, fault: str | None) -> str:
        """A kill before each write; a line about them."""
        kills = []
        for before in (None, "two"):
            self.fresh(before)
            writes = call(self.folder, self.words("one")).writes
            self._names_of_one = self.names()
            kills.append(0)
            for at in range(1, writes + 1, every):
                try:
                    kills[-1] += self.kill(before, at, fault)
                except AssertionError as error:
                    raise AssertionError(f"{self.command}, over {before}, write {at} of {writes}: {error}") from error
        what = "kills" if fault is None else fault
        return f"{kills[0]:4} {what} where nothing was, {kills[1]:4} over another"


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
    parser.add_argument("--fault", choices=FAULTS, help="writes fail with this error, and nothing is killed")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        make_sources(Path(name) / "sources")
        failures = 0
        for what, command in ALL.items():
            if options.only in (None, what):
                try:
                    place = Place(Path(name) / what.replace(" ", "-"), command, Path(name) / "sources")
                    say(f"{what:12} {place.kill_all(options.every, options.fault)}", flush=True)
                except AssertionError as error:
                    failures += 1
                    say(f"{what:12} FAILED: {error}", flush=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
