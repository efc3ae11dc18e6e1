"""textgru sample, as a user calls it."""

import re
import signal
import subprocess
import sys

import pytest

import textgru


def test_it_writes_the_prompt_and_the_text(cli, run):
    result = cli("sample", run, "--prompt", "The ferry", "--length", 80, "--seed", 1)
    assert result.exit_code == 0
    assert result.stdout == textgru.load(run).generate("The ferry", length=80, seed=1) + "\n"
    assert result.stderr == ""


def test_options_reach_the_sampler(cli, run):
    model = textgru.load(run)
    written = cli("sample", run, "-p", "A", "-n", 60, "--temp", 1.5, "--top-k", 5, "--top-p", 0.9, "-s", 4).stdout
    assert written == model.generate("A", length=60, temperature=1.5, top_k=5, top_p=0.9, seed=4) + "\n"
    assert written != model.generate("A", length=60, temperature=1.5, seed=4) + "\n"
    greedy = cli("sample", run, "-n", 60, "--temperature", 0)
    assert greedy.stdout == model.generate(length=60, temperature=0) + "\n"
    assert greedy.stderr == "", "greedy needs no seed"


def test_a_random_seed_is_told_and_gives_the_text_again(cli, run):
    first = cli("sample", run, "-n", 100)
    seed = re.fullmatch(r"seed (\d+)\n", first.stderr).group(1)
    assert cli("sample", run, "-n", 100, "--seed", seed).stdout == first.stdout
    assert cli("sample", run, "-n", 100).stdout != first.stdout


def test_several_samples(cli, run):
    parts = cli("sample", run, "-n", 50, "-s", 2, "--num-samples", 3).stdout.split("\n---\n")
    assert len(parts) == 3
    assert len(set(parts)) == 3
    assert parts[0] + "\n" == cli("sample", run, "-n", 50, "-s", 2).stdout


def test_line_ends_of_windows_are_known(cli, run):
    odd, plain = (cli("sample", run, "-p", prompt, "-n", 30, "-s", 1) for prompt in ("tam\r\n", "tam\n"))
    assert odd.stderr == ""
    assert odd.stdout_bytes.replace(b"\r\n", b"\n") == plain.stdout_bytes, "the prompt is shown as it was given"


def test_characters_never_seen_warn_in_one_line(cli, run):
    result = cli("sample", run, "-p", "Ж漢 tam Ж", "-n", 5, "-s", 1)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "textgru: warning: the model has never seen '\\u0416', '\\u6f22': taken as the unknown token"
    ]
    assert result.stdout.startswith("Ж漢 tam Ж")


def test_bad_input_is_one_line(fails, run, tmp_path):
    assert "none: no such run" in fails("sample", tmp_path / "none")
    assert "is not a run directory" in fails("sample", tmp_path)
    assert "Invalid value for '--temperature' / '--temp'" in fails("sample", run, "--temp", "-1")
    assert "temperature: expected a number from 0 up, got nan" in fails("sample", run, "--temp", "nan")
    assert "Invalid value for '--top-p'" in fails("sample", run, "--top-p", "0")
    assert "Invalid value for '--length' / '-n'" in fails("sample", run, "-n", "-5")
    assert "see textgru sample --help" in fails("sample", run, "-n", "-5")
    assert "Missing argument 'RUN...'" in fails("sample")


def test_it_streams_and_stops_when_nobody_reads(run):
    """The first bytes come long before the last, and a closed pipe ends it without a word."""
    with subprocess.Popen(
        [sys.executable, "-m", "textgru", "sample", str(run), "-n", "100000000", "-s", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert len(process.stdout.read(300)) == 300
        process.stdout.close()
        assert process.wait(timeout=30) == 1  # click's convention
        assert process.stderr.read() == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_what_was_generated(run, tmp_path, cli, number, code):
    """The text, a line end, and a state from which it goes on."""
    options = ["-n", "100000000", "-s", "1", "--save-state", str(tmp_path / "state")]
    with subprocess.Popen(
        [sys.executable, "-m", "textgru", "sample", str(run), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        text = process.stdout.read(300)
        process.send_signal(number)
        text = (text + process.stdout.read()).removesuffix("\n")
        assert process.stderr.read() == "textgru: stopped\n"
    assert process.returncode == code
    after = cli("sample", run, "--load-state", tmp_path / "state", "-n", 50).stdout.removesuffix("\n")
    whole = textgru.load(run).generate(length=len(text) + 50, seed=1)
    assert text + after == whole


def test_debug_shows_the_traceback(run, tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "textgru", "--debug", "sample", str(tmp_path / "none")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode != 0
    assert "Traceback" in result.stderr
    assert "no such run" in result.stderr
