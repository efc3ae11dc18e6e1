"""textgru train, as a user calls it."""

import errno
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import textgru
from tests.cli.conftest import SMALL
from tests.texts import sentences
from textgru.cli.display import LiveDisplay
from textgru.core import get_num_threads, simd


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_pipe_is_a_text(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_text(sentences(3000), encoding="utf-8"), daemon=True)
    writer.start()
    result = cli("train", "pipe", "--max-steps", 2, *SMALL)
    writer.join(10)
    assert result.exit_code == 0, result.output
    config = json.loads(Path("runs/pipe/config.json").read_text(encoding="utf-8"))
    assert config["corpus"]["files"] == ["pipe"]
    assert config["corpus"]["characters"] == 3000


def test_the_screen_tells_the_plan_the_course_and_the_end(cli, text_file, tmp_path):
    result = cli("train", text_file, "--out", tmp_path / "run", "--max-steps", 40, *SMALL)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"text       {text_file}: 30,000 characters"
    assert lines[1].startswith("tokens     27,000 to train on, the last 3,000 held out (char, ")
    assert lines[3].startswith("training   40 steps (")
    assert sum(line.startswith("step ") for line in lines) == 20
    assert "validation" in lines[5]
    assert "bits/char" in lines[5]
    assert "tokens/s" in lines[5]
    assert lines[-1] == f"saved in   {tmp_path / 'run'}; write with: textgru sample {tmp_path / 'run'}"
    assert result.stderr == ""


def test_every_option_stands_under_a_heading(cli):
    shown = cli("train", "--help").stdout
    other = shown[shown.index("Other options:") :].splitlines()[1:]
    assert [line.split()[0] for line in other] == ["-h,"]
    assert shown.index("Network:") < shown.index("--hidden-size N ") < shown.index("Learning:") < shown.index("--lr X")


def test_the_options_reach_the_run(cli, text_file, tmp_path):
    options = (
        "--tokenizer bpe --vocab-size 300 --hidden-size 12 --num-layers 2 --dropout 0.25 --input-dropout 0.1 "
        "--variational-dropout --weight-dropout 0.25 --tie-weights --batch-size 4 --seq-length 8 "
        "--optimizer muon --lr 0.01 --min-lr 0.002 "
        "--schedule plateau --patience 7 --warmup 3 --weight-decay 0.5 --grad-clip 2 --ema-decay 0.9 --state-reset 0.1 "
        "--teacher-weight 0.25 "
        "--epochs 5 --max-steps 6 --max-minutes 9 --val-fraction 0.2 --eval-every 2 --checkpoint-every 3 "
        "--sample-every 2 --precision bf16 --deterministic --reduce-precision bf16 --sync-every 2 --seed 11 -t 1"
    ).split()
    assert cli("train", text_file, "-o", tmp_path / "run", *options).exit_code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["network"] == {
        "cell": "gru", "vocab_size": 300, "embedding_size": 12, "hidden_size": 12, "num_layers": 2, "dropout": 0.25,
        "input_dropout": 0.1, "variational_dropout": True, "weight_dropout": 0.25, "tie_weights": True,
    }  # fmt: skip
    assert config["training"] == {
        "batch_size": 4, "seq_length": 8, "optimizer": "muon", "learning_rate": 0.01, "min_lr": 0.002,
        "schedule": "plateau", "patience": 7, "warmup": 3, "weight_decay": 0.5,
        "grad_clip": 2.0, "ema_decay": 0.9, "state_reset": 0.1, "teacher_weight": 0.25,
        "epochs": 5.0, "max_steps": 6, "max_minutes": 9.0, "eval_every": 2,
        "checkpoint_every": 3, "checkpoint_minutes": 1.0, "precision": "bf16", "deterministic": True,
        "reduce_precision": "bf16", "sync_every": 2,
        "seed": 11, "threads": 1,
    }  # fmt: skip
    assert config["tokenizer"] == {"kind": "bpe"}
    assert config["sample_every"] == 2
    assert "preset" not in config
    tokens = config["corpus"]["train_tokens"] + config["corpus"]["validation_tokens"]
    assert config["corpus"]["validation_tokens"] == int(0.2 * tokens)
    assert get_num_threads() == 1
    evaluations = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in evaluations if line["event"] == "evaluation"] == [2, 4, 6]


def test_samples_are_shown_and_kept(cli, text_file, tmp_path):
    arguments = ("train", text_file, "--max-steps", 60, "--eval-every", 20, *SMALL)
    assert "  | " not in cli(*arguments, "--out", tmp_path / "without").stdout
    result = cli(*arguments, "--out", tmp_path / "run", "--sample-every", 1)
    assert result.exit_code == 0
    shown = [line[4:] for line in result.stdout.splitlines() if line.startswith("  | ")]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    texts = [line["text"] for line in lines if line["event"] == "sample"]
    assert shown == [part for text in texts for part in text.strip("\n").split("\n")]
    assert [len(text) for text in texts] == [300, 300, 300]
    weights = [textgru.load(tmp_path / name).network.parameters.values.tobytes() for name in ("run", "without")]
    assert weights[0] == weights[1], "samples change nothing"


def test_several_files_and_standard_input(cli, text_file, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Ж" * 500)
    result = cli("train", other, "-", "--out", tmp_path / "run", "--max-steps", 2, *SMALL, stdin=sentences(20_000))
    assert result.exit_code == 0
    assert "20,500 characters" in result.stdout
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["corpus"]["files"] == [str(other), "-"]
    assert "Ж" in (tmp_path / "run" / "tokenizer.json").read_text()


def test_a_tokenizer_of_ones_own(cli, text_file, run, tmp_path):
    result = cli(
        "train", text_file, "--out", tmp_path / "run", "--max-steps", 2, "--tokenizer", run / "tokenizer.json", *SMALL
    )
    assert result.exit_code == 0
    assert (tmp_path / "run" / "tokenizer.json").read_bytes() == (run / "tokenizer.json").read_bytes()


def test_dry_run_tells_the_plan_and_writes_nothing(cli, text_file, tmp_path):
    result = cli("train", text_file, "--out", tmp_path / "a" / "run", "--dry-run", *SMALL)
    assert result.exit_code == 0
    assert "parameters, about" in result.stdout
    assert "MB to train" in result.stdout
    assert "steps (" in result.stdout
    assert "step  " not in result.stdout
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (None, ["none.txt"], "none.txt: no such file"),
        (None, ["."], ".: no text file (.txt, .txt.gz, .txt.zst) in it"),
        (b"", ["text"], "text: no text in it"),
        (b"too short", ["text"], "too little text: 9 tokens for training, one batch needs 129"),
        (b"abc\xffdef" * 99, ["text"], "text: not utf-8 text: byte 3 (invalid start byte); say what it is with"),
        (b"a" * 999, ["text", "--encoding", "utf-99"], "encoding: 'utf-99' is not known"),
        (b"a" * 999, ["text", "--tokenizer", "word"], "tokenizer: expected one of char, byte, bpe"),
        (b"a" * 999, ["text", "--tokenizer", "none.json"], "none.json: can't be read"),
        (b"a" * 999, ["text", "--vocab-size", "300"], "vocab_size: only the bpe tokenizer has one"),
        (b"a" * 999, ["text", "--vocab-size", "25"], "Invalid value for '--vocab-size': 25 is not in the range x>=256"),
        (b"a" * 999, ["text", "--hidden-size", "0"], "Invalid value for '--hidden-size': 0 is not in the range x>=1"),
        (b"a" * 999, ["text", "--hidden-size", "many"], "Invalid value for '--hidden-size'"),
        (b"a" * 999, ["text", "--dropout", "1"], "Invalid value for '--dropout': 1.0 is not in the range 0<=x<1"),
        (
            b"a" * 999,
            ["text", "--lr", "0"],
            "Invalid value for '--learning-rate' / '--lr': 0.0 is not in the range x>0",
        ),
        (b"a" * 999, ["text", "--lr", "nan"], "learning_rate: expected a number above 0, got nan"),
        (b"a" * 999, ["text", "--min-lr", "1"], "min_lr: 1.0 is above learning_rate"),
        (b"a" * 999, ["text", "--max-steps", "0"], "Invalid value for '--max-steps'"),
        (b"a" * 999, ["text", "--threads", "0"], "Invalid value for '--threads' / '-t'"),
        (b"a" * 999, ["text", "--val-fraction", "1"], "Invalid value for '--val-fraction'"),
        (b"a" * 999, ["text", "--tie-weights", "--embedding-size", "7"], "tie_weights: the embedding size (7) has to"),
        (b"a" * 999, ["text", "--hidden-size", "1000000"], "GB of memory, the machine has"),
        (b"a" * 999, ["text", "--nonsense"], "No such option"),
        (None, [], "Missing argument 'FILES...'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_leaves_nothing(fails, tmp_path, monkeypatch, make, arguments, message):
    monkeypatch.chdir(tmp_path)
    if make is not None:
        (tmp_path / "text").write_bytes(make)
    before = files_below(tmp_path)
    small = SMALL if "--hidden-size" not in arguments and "--embedding-size" not in arguments else SMALL[4:]
    assert message in fails("train", *arguments, "--out", "runs/a", *small)
    assert files_below(tmp_path) == before


def test_out_that_holds_something(fails, cli, text_file, run, tmp_path):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert "holds another run; choose another --out, or replace it with --overwrite" in fails(
        "train", text_file, "--out", run, *SMALL
    )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    (tmp_path / "mine").write_text("")
    assert "is a file" in fails("train", text_file, "--out", tmp_path / "mine", *SMALL)
    assert "can't be" in fails("train", text_file, "--out", "/proc/no/run", *SMALL)
    assert cli("train", text_file, "--out", tmp_path / "run", "--max-steps", 1, *SMALL).exit_code == 0
    assert cli("train", text_file, "--out", tmp_path / "run", "--max-steps", 2, "--overwrite", *SMALL).exit_code == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["training"]["max_steps"] == 2


@pytest.mark.parametrize("rate", ["1e38", "1e10", "1e5", "30"])
def test_a_good_run_is_not_replaced_by_one_that_went_wrong(fails, run, text_file, tmp_path, rate):
    shutil.copytree(run, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    options = ("--overwrite", "--lr", rate, "--warmup", 0, "--max-steps", 20, *SMALL)
    line = fails("train", text_file, "--out", tmp_path / "run", *options, code=1)
    assert "are kept" not in line
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_divergence_is_one_line_with_exit_code_1(fails, text_file, tmp_path):
    line = fails("train", text_file, "--out", tmp_path / "run", "--lr", "1e38", "--warmup", 0, *SMALL, code=1)
    assert "the loss is no longer finite" in line
    assert "try a lower --learning-rate" in line


def textgru_process(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "textgru", *map(str, arguments)], **options)


def wait_for_line(stream, beginning):
    for line in stream:
        if line.startswith(beginning):
            return
    raise AssertionError(f"no line that starts with {beginning!r}")


def test_an_interrupt_keeps_what_was_learned(text_file, tmp_path):
    with textgru_process(
        "train", text_file, "--out", tmp_path / "run", "--max-minutes", 5, "--eval-every", 50, *SMALL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        wait_for_line(process.stdout, "step ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped after" in out
    assert "Traceback" not in out + err
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert f"go on with: textgru train --resume {tmp_path / 'run'}" in out


def test_resume_goes_on_with_what_was_stopped(text_file, tmp_path, cli, fails):
    with textgru_process(
        "train", text_file, "--out", tmp_path / "run", "--max-steps", 3000, "--eval-every", 50, "-t", 1, *SMALL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        wait_for_line(process.stdout, "step ")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    plan = cli("train", "--resume", tmp_path / "run", "--dry-run").stdout
    assert "1 thread," in plan
    assert str(text_file) in plan
    assert "leave out FILES, --max-steps" in fails("train", text_file, "--resume", tmp_path / "run", "--max-steps", 9)
    result = cli("train", "--resume", tmp_path / "run", "-t", 2)
    assert result.exit_code == 0, result.output
    assert "finished after 3,000 steps" in result.stdout
    assert "no unfinished training" in fails("train", "--resume", tmp_path / "run")
    assert "no such run" in fails("train", "--resume", tmp_path / "none")


def test_a_full_disk_says_how_to_go_on(text_file, tmp_path, cli, fails, monkeypatch):
    """After some checkpoints; and before there is one."""
    kept = os.fsync

    def fill_up(descriptor):
        if (
            "other" in str(Path(f"/proc/self/fd/{descriptor}").readlink())
            or (tmp_path / "run" / "config.json").exists()
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kept(descriptor)

    options = ("--max-steps", 60, "--eval-every", 10, "--checkpoint-every", 5, *SMALL)
    monkeypatch.setattr(os, "fsync", fill_up)
    line = fails("train", text_file, "--out", tmp_path / "run", *options, code=1)
    assert "can't be written: No space left on device; mend that, then go on with: textgru train --resume" in line
    line = fails("train", text_file, "--out", tmp_path / "other", "--no-cache", *options, code=1)
    assert line.endswith("tokens.bin: can't be written: No space left on device")
    assert files_below(tmp_path / "other") == []
    monkeypatch.setattr(os, "fsync", kept)
    assert cli("train", "--resume", tmp_path / "run").exit_code == 0


def test_init_from(text_file, run, tmp_path, cli, fails):
    result = cli(
        "train", text_file, "--out", tmp_path / "run", "--init-from", run, "--max-steps", 1, "--batch-size", 8,
        "--seq-length", 16, "--lr", 1e-6,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    network = json.loads((tmp_path / "run" / "config.json").read_text())["network"]
    assert network["hidden_size"] == 24
    assert "hidden_size: 99 doesn't fit" in fails("train", text_file, "--init-from", run, "--hidden-size", 99)
    assert "tokenizer: the weights of" in fails("train", text_file, "--init-from", run, "--tokenizer", "char")


def test_checkpoint_every(text_file, tmp_path, cli, fails):
    for every, setting in (("500", ("checkpoint_every", 500)), ("2.5m", ("checkpoint_minutes", 2.5))):
        out = tmp_path / every
        assert (
            cli("train", text_file, "--out", out, "--max-steps", 1, "--checkpoint-every", every, *SMALL).exit_code == 0
        )
        assert json.loads((out / "config.json").read_text())["training"][setting[0]] == setting[1]
    for bad in ("soon", "0", "-1m", "5h"):
        assert "checkpoint" in fails("train", text_file, "--checkpoint-every", bad, *SMALL)


def test_a_kill_leaves_the_last_checkpoint(text_file, tmp_path, cli):
    with textgru_process(
        "train", text_file, "--out", tmp_path / "run", "--max-minutes", 5, "--eval-every", 20, *SMALL,
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        wait_for_line(process.stdout, "step ")
        wait_for_line(process.stdout, "step ")
        process.kill()
    assert cli("sample", tmp_path / "run", "-n", 5).exit_code == 0


def test_on_a_terminal_a_line_moves(text_file, tmp_path):
    """In a real pseudo-terminal: progress is drawn over itself, evaluations stay as lines above it."""
    leader, follower = pty.openpty()
    with textgru_process(
        "train", text_file, "--out", tmp_path / "run", "--max-steps", 200, *SMALL,
        stdout=follower, stderr=follower, env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "150"},
    ) as process:  # fmt: skip
        os.close(follower)
        screen = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                data = os.read(leader, 65536)
            except OSError:  # the terminal's other end was closed
                break
            if not data:
                break
            screen += data
        process.wait(timeout=60)
    os.close(leader)
    assert process.returncode == 0
    assert b"\x1b[2K" in screen, "lines are erased and drawn again"
    text = screen.decode()
    assert "100%" in text
    assert "left" in text
    assert text.count("validation ") >= 20


def test_options_from_a_toml_file(text_file, tmp_path, cli, fails):
    file = tmp_path / "settings.toml"
    file.write_text(
        f'files = "{text_file}"\nhidden-size = 24\nembedding_size = 8\nbatch_size = 8\nseq-length = 16\n'
        f'max_steps = 3\ntie-weights = false\nlr = 0.02\nout = "{tmp_path / "run"}"\nthreads = 1\n'
    )
    assert cli("train", "--config", file, "--max-steps", 2).exit_code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["network"]["hidden_size"] == 24
    training = config["training"]
    assert (training["max_steps"], training["learning_rate"], training["threads"]) == (2, 0.02, 1)
    assert config["corpus"]["files"] == [str(text_file)]
    for text, message in (
        ("hiden_size = 3", "settings.toml: hiden_size: no option of textgru train"),
        ("resume = 'x'", "no option"),
        ("hidden_size = [", "settings.toml: no TOML"),
        ("[hidden_size]", "hidden_size: expected a value, got a table"),
        ("hidden_size = 'large'", "settings.toml: hidden_size: expected an integer, got 'large'"),
        ("num_layers = 2.9", "num_layers: expected an integer, got 2.9"),
        ("num_layers = true", "num_layers: expected an integer, got true"),
        ("epochs = 1979-05-27", "epochs: expected a number, got datetime.date(1979, 5, 27)"),
        ("tokenizer = ['bpe']", "tokenizer: expected a string, got ['bpe']"),
        ("overwrite = 1", "overwrite: expected true or false, got 1"),
        ("files = [1]", "files: expected a list of names, got [1]"),
        ("lr = inf", "learning_rate: expected a number above 0, got inf"),
        (f"x = {'[' * 5000}", "settings.toml: no TOML"),
        ("hidden_size = 0", "Invalid value for '--hidden-size'"),
    ):
        file.write_text(text)
        assert message in fails("train", text_file, "--config", file)
    assert "no such file" in fails("train", text_file, "--config", tmp_path / "none.toml")


def test_deterministic_is_the_same_for_any_threads(text_file, tmp_path, cli):
    """Also where the BLAS would be used, which promises no such thing."""
    simd.set_instruction_set("baseline")
    weights = []
    for threads in (1, 2, 3):
        result = cli(
            "train",
            text_file,
            "--out",
            tmp_path / str(threads),
            "--max-steps",
            5,
            "-t",
            threads,
            "--deterministic",
            *SMALL,
        )
        assert result.exit_code == 0, result.output
        weights.append(textgru.load(tmp_path / str(threads)).network.parameters.values.tobytes())
    assert len(set(weights)) == 1


def test_a_training_that_got_no_better_says_so(tmp_path, cli):
    """The text that is held out is unlike the rest: the more is learnt of that, the worse it is predicted."""
    text = tmp_path / "text.txt"
    text.write_text("ab" * 2000 + "c" * 500)
    said = "no better  in the last 9 evaluations; with --patience 5 it would have ended sooner"
    limits = [*SMALL, "--max-steps", 40, "--eval-every", 4]
    assert said in cli("train", text, "--out", tmp_path / "whole", *limits).output
    patient = cli("train", text, "--out", tmp_path / "patient", "--patience", 5, *limits).output
    assert "out of patience after 24 steps" in patient
    assert "no better" not in patient
    learning = cli("train", text, "--out", tmp_path / "learning", *limits, "--max-steps", 12).output
    assert "no better" not in learning


def test_a_training_that_gets_no_better_ends_early(tmp_path, cli):
    """After a fifth of its steps without a lower validation loss, or of its minutes; not where one may still come."""
    text = tmp_path / "noise.txt"
    text.write_text("".join(random.Random(1).choices("abcdefgh", k=3000)))

    def ending(name, *given):
        out = tmp_path / name
        learns_by_heart = "--hidden-size", 64, "--lr", 0.02, "--warmup", 0, "--dropout", 0
        screen = cli("train", text, "--out", out, *SMALL, *learns_by_heart, *given).output
        return screen, json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])

    screen, end = ending("early", "--max-steps", 400)
    assert end["reason"] == "out of patience"
    assert end["step"] == end["best"] + 80 < 400
    assert f"early      no lower validation loss since step {end['best']}; --patience 20 would have gone on" in screen
    for name, given in (("patient", ("--patience", 20)), ("cosine", ("--schedule", "cosine"))):
        screen, end = ending(name, "--max-steps", 400, *given)
        assert (end["reason"], end["step"]) == ("finished", 400)
        assert "early" not in screen
    _, end = ending("minutes", "--max-minutes", 0.1, "--epochs", 1e6)
    assert end["reason"] == "out of patience"
    assert end["seconds"] < 6 * 0.75


def test_the_plan_says_how_often_the_text_will_be_read(text_file, tmp_path, cli):
    """Where that is the minutes, not the steps."""
    said = r"training .* or {} minutes, about [0-9.]+ epochs, whichever is sooner"
    few, many = (
        cli("train", text_file, "--out", tmp_path / "run", "--preset", "medium", "--max-minutes", minutes, "--dry-run")
        for minutes in (0.05, 5000)
    )
    assert re.search(said.format("0.05"), few.output)
    assert "5000 minutes, whichever is sooner" in many.output


def test_the_same_text_is_encoded_once(text_file, tmp_path, cli):
    screens = [
        cli("train", text_file, "--out", tmp_path / str(number), "--max-steps", 1, *SMALL, *more).stdout
        for number, more in enumerate(((), (), ("--no-cache",)))
    ]
    first = [screen.splitlines()[0] for screen in screens]
    assert first[0] == first[2] == f"text       {text_file}: 30,000 characters"
    assert first[1] == first[0] + " (encoded before)"


def test_documents_are_kept_apart(text_file, tmp_path, cli, fails):
    arguments = ("--separate-documents", "--max-steps", 1, *SMALL)
    assert cli("train", text_file, text_file, "--out", tmp_path / "run", *arguments).exit_code == 0
    model = textgru.load(tmp_path / "run")
    assert model.tokenizer.eos_id is not None
    assert "<|endoftext|>" not in cli("sample", tmp_path / "run", "-n", 300).stdout
    own = tmp_path / "own.json"
    own.write_text(textgru.Tokenizer.train("byte", lambda: []).to_json())
    assert "has no token <|endoftext|>" in fails("train", text_file, "--tokenizer", own, *arguments)


def test_what_takes_long_is_shown_while_it_lasts(text_file, tmp_path, cli, monkeypatch):
    monkeypatch.setattr("textgru.cli.display.SHORT", -1.0)
    lines = cli("train", text_file, text_file, "--out", tmp_path / "a", "--max-steps", 1, *SMALL).stdout.splitlines()
    assert lines[:3] == [f"{what:10} 0.06 MB ..." for what in ("reading", "tokenizer", "encoding")]
    screen = StringIO()
    with LiveDisplay(Console(file=screen, force_terminal=True, width=80)) as display:
        for done in (0, 500_000, 1_000_000):
            display.progress("encoding", done, 2_000_000)
        assert "encoding  0 of 2" not in screen.getvalue()
    assert "encoding  1 of 2 MB" in screen.getvalue()
