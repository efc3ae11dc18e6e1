"""textgru score, as a user calls it."""

import csv
import html
import io
import json
import math
import os
import re
import subprocess
import sys
import threading

import pytest

import textgru
from tests.cli.terminal import on_terminal
from tests.texts import sentences

TEXT = "The ferry crossed the river.\n"


@pytest.fixture(scope="module")
def byte_run(text_file, tmp_path_factory):
    """Of a model that knows every character."""
    out = tmp_path_factory.mktemp("byte-run") / "bytes"
    settings = {"tokenizer": "byte", "hidden_size": 8, "batch_size": 8, "seq_length": 16, "max_steps": 5}
    textgru.train(text_file, out, **settings)
    return out


def tokens(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_is_what_the_library_says(cli, run):
    found, wanted = tokens(cli("score", run, TEXT, "--json", "--top", 2)), textgru.load(run).surprisals(TEXT, top=2)
    assert [token["text"] for token in found] == list(TEXT)
    assert [token["id"] for token in found] == wanted.tokens.tolist()
    assert found[0] == {"id": int(wanted.tokens[0]), "text": "T", "bits": None, "likeliest": []}
    for token, bits, ids, p in zip(
        found[1:], wanted.bits[1:], wanted.likeliest[1:], wanted.probabilities[1:], strict=True
    ):
        assert token["bits"] == bits
        assert [(one["id"], one["probability"]) for one in token["likeliest"]] == list(
            zip(ids.tolist(), p, strict=True)
        )
        assert token["likeliest"][0]["text"] == textgru.load(run).tokenizer.decode([ids[0]])
    assert set(tokens(cli("score", run, TEXT, "--json"))[1]) == {"id", "text", "bits"}


def test_csv_and_plain_say_the_same(cli, run):
    wanted = tokens(cli("score", run, TEXT, "--json", "--top", 2))
    rows = list(csv.DictReader(io.StringIO(cli("score", run, TEXT, "--csv", "--top", 2).stdout)))
    assert [row["text"] for row in rows] == list(TEXT)
    assert rows[0]["bits"] == rows[0]["probability_1"] == ""
    assert [float(row["bits"]) for row in rows[1:]] == [token["bits"] for token in wanted[1:]]
    assert [row["likeliest_2"] for row in rows[1:]] == [token["likeliest"][1]["text"] for token in wanted[1:]]
    result = cli("score", run, TEXT)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["-", "'T'"]
    assert lines[-1].endswith(r"'\n'")
    assert [float(line.split()[0]) for line in lines[1:]] == [round(token["bits"], 4) for token in wanted[1:]]
    mean = sum(token["bits"] for token in wanted[1:]) / (len(wanted) - 1)
    assert result.stderr == f"{mean:.4f} bits a token, {len(TEXT)} tokens\n"
    likeliest = wanted[1]["likeliest"][0]
    shown = f"{100 * likeliest['probability']:.1f}% '{likeliest['text']}'"
    assert shown in cli("score", run, TEXT, "--top", 1).stdout.splitlines()[1]


def test_a_text_a_file_and_standard_input(cli, fails, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "river").write_text(TEXT, encoding="utf-8")
    wanted, name = cli("score", run, TEXT, "--json").stdout, cli("score", run, "river", "--text", "--json").stdout
    assert len(name.splitlines()) == len("river")
    for source in (["river"], ["river", "--file"], ["-f", "river"]):
        assert cli("score", run, *source, "--json").stdout == wanted
    for source in ([], ["-"]):
        assert cli("score", run, *source, "--json", stdin=TEXT.replace("\n", "\r\n")).stdout == wanted
    assert len(cli("score", run, "-", "--text", "--lines").stdout.splitlines()) == 1
    (tmp_path / "latin").write_text("é", encoding="latin-1")
    assert "byte 0" in fails("score", run, "latin")
    assert "no such file" in fails("score", run, "none", "--file")
    assert "notes.txt: no such file; to score these letters themselves, add --text" in fails("score", run, "notes.txt")
    assert cli("score", run, "notes.txt", "--text").exit_code == 0
    assert "is a folder" in fails("score", run, tmp_path)
    assert cli("score", run, "a\0b" + "c" * 5000).exit_code == 0  # what no file can be called


def test_bad_input_is_one_line(fails, run, tmp_path):
    for text in ("", "T"):
        assert "too little text" in fails("score", run, text, "--text", "--json").splitlines()[-1]
    assert "exclude each other" in fails("score", run, TEXT, "--json", "--csv")
    assert "exclude each other" in fails("score", run, TEXT, "--text", "--file")
    assert "--lines gives no --top" in fails("score", run, TEXT, "--lines", "--top", 3)
    assert "--lines gives no --html" in fails("score", run, TEXT, "--lines", "--html", "x")
    assert "no such run" in fails("score", tmp_path / "none", TEXT)
    assert "is not known" in fails("score", run, TEXT, "--encoding", "none")


def test_unknown_characters_are_said(cli, run):
    assert "50.0% of the text's tokens are unknown" in cli("score", run, "ЖЖoo", "--json").stderr
    assert "3 tokens in 2 lines are unknown" in cli("score", run, "--lines", stdin="ЖЖ\nriver\nЖ\n").stderr


def test_colours_on_a_terminal_only(cli, run):
    coloured = on_terminal("score", str(run), TEXT, TERM="xterm-256color", COLUMNS="80")
    assert re.sub(r"\x1b\[[0-9;]*m|\r|↵", "", coloured).startswith(TEXT)
    assert "\x1b[" in coloured
    assert "below 1 " in coloured
    for variables in ({"NO_COLOR": "1", "TERM": "xterm-256color"}, {"TERM": "dumb"}):
        assert on_terminal("score", str(run), TEXT, **variables).replace("\r", "") == cli("score", run, TEXT).stdout


def test_a_terminal_is_not_commanded_by_a_text(byte_run):
    shown = on_terminal("score", str(byte_run), "The\x1b[2J\x07 ferry [red]", TERM="xterm-256color")
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    bare = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert r"The\x1b[2J\x07 ferry [red]" in bare


def test_a_page(cli, byte_run, tmp_path):
    text, page = 'é <b>&"\n river </pre>\x1b\n', tmp_path / "page.html"
    result = cli("score", byte_run, text, "--html", page, "--top", 2)
    assert result.stdout == f"saved in   {page}\n"
    written = page.read_text(encoding="utf-8")
    for outside in ("http", "src=", "<script", "@import", "url("):
        assert outside not in written
    inside = written[written.index("<pre>") + 5 : written.index("</pre>")]
    assert html.unescape(re.sub(r"<[^>]*>", "", inside)).replace("↵", "") == text.replace("\x1b", r"\x1b")
    wanted = tokens(cli("score", byte_run, text, "--json", "--top", 2))
    bits = [float(number) for number in re.findall(r'title="([0-9.]+) bits', inside)]
    assert bits[0] == pytest.approx(wanted[1]["bits"], abs=0.006)  # of é, whose first byte is given
    assert bits[1:] == pytest.approx([token["bits"] for token in wanted[2:]], abs=0.006)
    likeliest = wanted[2]["likeliest"][0]
    assert f"{100 * likeliest['probability']:.1f}% {html.escape(likeliest['text'])}" in inside
    mean = sum(token["bits"] for token in wanted[1:]) / (len(wanted) - 1)
    assert f"{mean:.4f} bits a token on average" in written
    assert "prefers-color-scheme: dark" in written


def test_a_page_that_fails_leaves_the_old_one(fails, run, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("old")
    (tmp_path / "bad").write_bytes(b"The ferry" * 130_000 + b"\xff")
    assert "not utf-8 text" in fails("score", run, tmp_path / "bad", "--html", page)
    assert page.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["bad", "page.html"]
    assert "is a folder; name a file" in fails("score", run, TEXT, "--html", tmp_path)
    assert "can't be written" in fails("score", run, TEXT, "--html", tmp_path / "none" / "page.html", code=1)


def test_lines_are_what_the_library_says(cli, run, tmp_path):
    lines = [*sentences(2000).splitlines(), "", "river, bread", 'a "b"\tc']
    (tmp_path / "lines").write_text("\n".join(lines) + "\n", encoding="utf-8")
    wanted = textgru.load(run).score_lines(lines)
    found = tokens(cli("score", run, tmp_path / "lines", "--lines", "--json"))
    assert [one["text"] for one in found] == lines
    for one, score in zip(found, wanted, strict=True):
        assert one["log_prob"] == score.log_prob
        assert one["perplexity"] == score.perplexity
        assert one["bits_per_char"] == score.bits_per_char
        assert (one["tokens"], one["characters"], one["unknown"]) == score[1:]
    rows = list(csv.DictReader(io.StringIO(cli("score", run, tmp_path / "lines", "--lines", "--csv").stdout)))
    assert [row["text"] for row in rows] == lines
    assert [float(row["log_prob"]) for row in rows] == [score.log_prob for score in wanted]
    plain = cli("score", run, tmp_path / "lines", "--lines").stdout.splitlines()
    assert [line.split("\t", 3)[3] for line in plain] == lines
    assert plain[0].split("\t")[0] == f"{wanted[0].log_prob:.4f}"


def test_many_lines_come_in_their_order(cli, run):
    lines = [f"tale {i}" for i in range(20_000)]
    found = cli("score", run, "--lines", stdin="\n".join(lines)).stdout.splitlines()  # the last has no end
    assert [line.split("\t")[3] for line in found] == lines


def test_no_lines(cli, run):
    result = cli("score", run, "--lines", stdin="")
    assert (result.exit_code, result.stdout) == (0, "")


def test_lines_come_out_of_a_pipe_as_they_go_in(run):
    command = [sys.executable, "-m", "textgru", "score", str(run), "--lines"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watch = threading.Timer(60, process.kill)
        watch.start()
        for line in ("the river", "bread", "rope"):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            assert process.stdout.readline().endswith(f"\t{line}\n")
        process.stdin.close()
        watch.cancel()
        assert process.stdout.read() == ""
    assert process.returncode == 0


def test_precision(cli, run):
    exact, rounded = (
        tokens(cli("score", run, TEXT, "--json", "--precision", precision)) for precision in ("fp32", "int8")
    )
    difference = [abs(a["bits"] - b["bits"]) for a, b in zip(exact[1:], rounded[1:], strict=True)]
    assert 0 < max(difference) < 0.1
    assert math.isclose(sum(difference), 0, abs_tol=0.05 * len(TEXT))


def test_weights_that_follow_the_text(cli, fails, run, tmp_path):
    """The figure is that of eval --dynamic; top and form change nothing."""
    file = tmp_path / "text"
    file.write_text(sentences(3000))
    figures = json.loads(cli("eval", run, file, "--dynamic", "--json").stdout)
    bits = [token["bits"] for token in tokens(cli("score", run, file, "--dynamic", "--json"))][1:]
    assert sum(bits) / len(bits) == pytest.approx(figures["dynamic"]["loss"] / math.log(2), rel=1e-5)
    rows = list(csv.reader(io.StringIO(cli("score", run, file, "--dynamic", "--csv", "--top", 1).stdout)))[2:]
    assert [float(row[2]) for row in rows] == pytest.approx(bits, abs=1e-4)
    assert textgru.load(run).surprisals(file.read_text(), dynamic=True).bits[1:] == pytest.approx(bits, abs=1e-6)
    assert cli("score", run, file, "--dynamic", "--html", tmp_path / "page.html").exit_code == 0
    for options in (["--lines"], ["--precision", "int8"]):
        line = fails("score", run, file, "--dynamic", *options)
        assert f"leave out {options[0]}" in line
