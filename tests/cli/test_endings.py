"""How commands end that are ended from outside: by signals, closed pipes, full disks."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

import textgru
from tests.cli.conftest import SMALL

LONG = ("--max-steps", 10**7, "--eval-every", 50, "--no-cache", *SMALL)


def textgru_process(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-m", "textgru", *map(str, arguments)], **options)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_training_which_saves_everything(text_file, tmp_path, cli, number, code):
    with textgru_process("train", text_file, "--out", tmp_path / "run", *LONG) as process:
        for line in process.stdout:
            if line.startswith("step "):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == ""
    assert f"go on with: textgru train --resume {tmp_path / 'run'}" in out
    assert textgru.load(tmp_path / "run").run.scores["step"] > 0
    assert cli("train", "--resume", tmp_path / "run", "--dry-run").exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6])
def test_a_signal_at_the_beginning_leaves_nothing_and_no_traceback(text_file, tmp_path, number, seconds):
    """While Python starts, while modules are imported, while the text is read. A pipe that nobody writes to is read."""
    reading, writing = os.pipe()
    with textgru_process("train", "-", "--out", tmp_path / "run", *LONG, stdin=reading) as process:
        time.sleep(seconds)
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    os.close(reading)
    os.close(writing)
    if "textgru/entry.py" in err or "Traceback" not in err:  # Python's own start is not ours to guard
        assert process.returncode in (-number, 128 + number)
        assert err.strip() in ("", "textgru: error: interrupted", "textgru: error: ended by SIGTERM")
    assert os.listdir(tmp_path) == []


def test_a_closed_pipe_stops_a_training_which_says_where_it_is(text_file, tmp_path, cli):
    with textgru_process("train", text_file, "--out", tmp_path / "run", *LONG) as process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    where = tmp_path / "run"
    assert err == (
        f"textgru: standard output was closed: stopped; saved in {where}; go on with: textgru train --resume {where}\n"
    )
    assert textgru.load(where).run.scores["step"] > 0
    assert cli("train", "--resume", where, "--dry-run").exit_code == 0


@pytest.mark.parametrize("command", [("info",), ("info", "--json"), ("plot",), ("compare",), ("sample", "-n", 10**6)])
def test_other_commands_end_quietly_with_their_pipe(run, command):
    with textgru_process(command[0], run, *command[1:]) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert [line for line in err.splitlines() if not line.startswith("seed ")] == []


@pytest.mark.parametrize("command", [("info",), ("sample", "-n", 9), ("plot",)])
def test_a_full_disk_under_standard_output_is_one_line(run, command):
    with open("/dev/full", "w") as full, textgru_process(command[0], run, *command[1:], stdout=full) as process:  # noqa: PTH123
        err = process.stderr.read()
    assert process.returncode == 1
    lines = [line for line in err.splitlines() if not line.startswith("seed ")]
    assert lines == ["textgru: error: standard output: No space left on device"]


def test_without_standard_streams(run):
    for command in (["info"], ["plot"], ["compare"], ["sample", "-n", "9"]):
        script = f'exec "{sys.executable}" -m textgru {command[0]} "{run}" {" ".join(command[1:])} <&- >&- 2>&-'
        assert subprocess.run(["sh", "-c", script], timeout=60).returncode == 0


def test_a_full_disk_at_the_first_checkpoint_says_what_is_left(text_file, tmp_path, fails, monkeypatch):
    kept, calls = os.fsync, []

    def fill_up(descriptor):
        calls.append(descriptor)
        if len(calls) > allowed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kept(descriptor)

    monkeypatch.setattr(os, "fsync", fill_up)
    ends = set()
    for allowed in range(1, 12):
        calls.clear()
        out = tmp_path / str(allowed)
        line = fails(
            "train", text_file, "--out", out, "--max-steps", 60, "--eval-every", 10, "--no-cache", *SMALL, code=1
        )
        assert "No space left on device" in line
        if (out / "training" / "state.safetensors").exists():
            assert line.endswith(f"; mend that, then go on with: textgru train --resume {out}")
            ends.add("go on")
        elif out.exists():
            assert line.endswith(f"; the weights that were saved last are kept in {out}")
            assert textgru.load(out).run.scores["step"] == 10
            ends.add("weights")
        else:
            ends.add("nothing")
    assert ends == {"go on", "weights", "nothing"}
