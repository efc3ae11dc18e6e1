"""textgru sample: where prompts come from, where texts go, and where they end."""

import json

import pytest

import textgru


@pytest.fixture(scope="module")
def model(run):
    return textgru.load(run)


def test_several_prompts_are_one_batch(cli, run, model, tmp_path):
    (tmp_path / "prompts").write_text("The ferry\n\ntar\\n\r\n", encoding="utf-8")
    wanted = model.generate(["The ferry", "", "tar\\n"], length=20, seed=3)
    result = cli("sample", run, "--prompts", tmp_path / "prompts", "-n", 20, "-s", 3)
    assert result.stdout == "\n---\n".join(wanted) + "\n"
    read = cli("sample", run, "--prompts", "-", "-n", 20, "-s", 3, stdin="The ferry\n\ntar\\n\n")
    assert read.stdout == result.stdout
    escaped = cli("sample", run, "--prompts", "-", "-e", "-n", 20, "-s", 3, stdin="The ferry\n\ntar\\n")
    assert escaped.stdout == "\n---\n".join(model.generate(["The ferry", "", "tar\n"], length=20, seed=3)) + "\n"
    twice = cli("sample", run, "--prompts", "-", "-n", 20, "-s", 3, "--num-samples", 2, stdin="The\ntar")
    assert twice.stdout.split("\n---\n") == (
        "\n---\n".join(model.generate(["The", "The", "tar", "tar"], length=20, seed=3)) + "\n"
    ).split("\n---\n")


def test_a_prompt_from_a_file(cli, run, model, tmp_path):
    (tmp_path / "prompt").write_bytes("\ufeffThe ferry\ncrossed\r\n".encode())
    for arguments, stdin in (((tmp_path / "prompt",), None), (("-",), "The ferry\ncrossed\n")):
        result = cli("sample", run, "--prompt-file", *arguments, "-n", 20, "-s", 3, stdin=stdin)
        assert result.stdout == model.generate("The ferry\ncrossed", length=20, seed=3) + "\n"


def test_escapes(cli, run, model):
    result = cli("sample", run, "-e", "-p", r"tam\n\x41\u0062\\n", "--stop", r"\n", "-n", 200, "-s", 1)
    assert result.stdout == model.generate("tam\nAb\\n", stop="\n", length=200, seed=1) + "\n"
    assert cli("sample", run, "-p", r"tam\q", "-e", "-n", 0).stdout == "tam\\q\n"
    assert cli("sample", run, "-p", r"tam\n", "-n", 0).stdout == "tam\\n\n"


def test_options_of_where_it_ends(cli, run, model):
    for options, settings in (
        (["--length-chars", 77], {"length_chars": 77}),
        (["--stop", "er", "--stop", "b", "-n", 99], {"stop": ("er", "b"), "length": 99}),
        (["--stop-at", "line"], {"stop_at": "line"}),
        (["--stop-at", "sentence"], {"stop_at": "sentence"}),
        (["--stop-regex", r"[A-Z]\w+"], {"stop_regex": r"[A-Z]\w+"}),
        (["--stop-byte", "10"], {"stop": "\n"}),
    ):
        result = cli("sample", run, "-p", "The", "-s", 2, *options)
        assert result.stdout == model.generate("The", seed=2, **settings) + "\n"
        assert result.stdout != model.generate("The", seed=2) + "\n"


def test_json_says_everything(cli, run, model):
    result = cli("sample", run, "-p", "The", "--num-samples", 3, "-s", 2, "-n", 30, "--stop", ".", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3]
    for line, text in zip(lines, model.generate(["The"] * 3, length=30, stop=".", seed=2), strict=True):
        assert line["prompt"] + line["text"] == text
        assert model.tokenizer.decode(line["tokens"]).startswith(line["text"])
        assert line["finish_reason"] == ("stop" if len(line["tokens"]) < 30 else "length")
        assert len(line["log_probabilities"]) == len(line["tokens"])
        score = model.score("The" + model.tokenizer.decode(line["tokens"]))
        assert sum(line["log_probabilities"]) - model.score("The").loss * 2 == pytest.approx(
            -score.loss * score.tokens, abs=1e-3
        )


def test_a_file_and_a_file_for_each_text(cli, run, tmp_path):
    options = ["-p", "The", "--num-samples", 3, "-s", 2, "-n", 30]
    shown = cli("sample", run, *options).stdout
    result = cli("sample", run, *options, "--output", tmp_path / "all.txt")
    assert result.stdout == ""
    assert (tmp_path / "all.txt").read_text(encoding="utf-8") == shown
    cli("sample", run, *options, "-o", tmp_path / "{n}.txt")
    each = [(tmp_path / f"{n}.txt").read_text(encoding="utf-8") for n in (1, 2, 3)]
    assert "---\n".join(each) == shown
    cli("sample", run, *options, "--json", "-o", tmp_path / "{n}.json")
    texts = [json.loads((tmp_path / f"{n}.json").read_text(encoding="utf-8")) for n in (1, 2, 3)]
    assert [f"{text['prompt']}{text['text']}\n" for text in texts] == each
    assert [text["number"] for text in texts] == [1, 2, 3]


def test_a_saved_state_goes_on_where_it_stopped(cli, run, tmp_path):
    whole = cli("sample", run, "-p", "The", "-s", 2, "-n", 60).stdout
    first = cli("sample", run, "-p", "The", "-s", 2, "-n", 23, "--save-state", tmp_path / "state").stdout
    again = ["sample", run, "--load-state", tmp_path / "state"]
    rest = cli(*again, "-n", 37, "--save-state", tmp_path / "next")
    assert first.removesuffix("\n") + rest.stdout == whole
    assert rest.stderr == "", "no seed is needed"
    assert cli(*again, "-n", 37, "-s", 5).stdout != rest.stdout
    assert cli(*again, "-n", 20, "-p", "tar").stdout.startswith("tar")
    assert cli("sample", run, "--load-state", tmp_path / "next", "-n", 9).stdout != ""


def test_the_likeliest_texts(cli, run, model):
    found = model.beam_search("The", width=6, n_best=2, length=20, length_penalty=1.0)
    options = ["-p", "The", "--beams", 6, "--n-best", 2, "-n", 20, "--length-penalty", 1]
    assert cli("sample", run, *options).stdout == "\n---\n".join("The" + text for text, _ in found) + "\n"
    lines = [json.loads(line) for line in cli("sample", run, *options, "--json").stdout.splitlines()]
    assert [line["text"] for line in lines] == [text for text, _ in found]
    assert [line["score"] for line in lines] == [one.score for _, one in found]
    first = model.beam_search("The", width=6, length=20, stop="e")[0]
    assert cli("sample", run, *options[:4], "-n", 20, "--stop", "e").stdout == "The" + first[0] + "\n"


def test_what_makes_no_sense_is_one_line(fails, run, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "latin").write_bytes("né".encode("latin-1"))
    for options, message in (
        (["-p", "a", "--prompts", "x"], "--prompt and --prompts: give one of them"),
        (
            ["--beams", "2", "--temp", "1", "--stop-byte", "9"],
            "--beams draws nothing: leave out --stop-byte, --temperature",
        ),
        (["--beams", "2", "--stop-at", "sentence"], "--beams: texts end at a document, a line or a --stop"),
        (["--beams", "2", "--n-best", "3"], "n_best: expected at most the width of the beam, 2, got 3"),
        (["--n-best", "2"], "--n-best: only with --beams N"),
        (["--novel"], "--novel: only with --lines"),
        (["--lines", "--text", "x"], "--text: only with --novel"),
        (["--lines", "--save-state", "x"], "--lines begins each item anew: leave out --save-state"),
        (["-i", "--json"], "--interactive asks for prompts: leave out --json"),
        (["--save-state", "x", "--num-samples", "2"], "--save-state keeps the state of one text"),
        (["--save-state", tmp_path / "no" / "x"], "no/x: can't be written: no such folder"),
        (["-o", tmp_path], "can't be written: is a folder"),
        (["-o", ""], "output: the name is empty"),
        (["--load-state", tmp_path / "none"], "none: no such file"),
        (["--load-state", tmp_path / "latin"], "is no saved state, or damaged"),
        (["--prompt-file", tmp_path / "none"], "none: no such file"),
        (["--prompt-file", tmp_path / "latin"], "latin: is not in UTF-8 (byte 1)"),
        (["--prompts", tmp_path / "empty"], "empty: has no lines"),
        (["-e", "-p", r"\UFFFFFFFF"], "there is no such character"),
        (["--stop", ""], "stop: expected strings of at least one character"),
        (["--stop-regex", "("], "stop_regex: no regular expression"),
        (["--stop-byte", "200"], "--stop-byte: only a byte model draws such a byte alone"),
        (["--num-samples", 10**20], "--num-samples: at most 1,000,000,000,000"),
        (["-n", 10**13], "length: expected an integer from 0 to"),
    ):
        assert message in fails("sample", run, *options)


def test_banned_texts_and_biased_tokens(cli, fails, run):
    plain = cli("sample", run, "-n", 200, "-s", 1).stdout
    banned = cli("sample", run, "-n", 200, "-s", 1, "--ban", "e", "--ban", "\n").stdout
    assert "e" in plain
    assert "e" not in banned
    assert "\n" not in banned[:-1]
    biased = cli("sample", run, "-n", 200, "-s", 1, "--logit-bias", "w=5", "--logit-bias", "#2=-1").stdout
    assert biased.count("w") > 2 * plain.count("w") + 10
    assert "--ban: no token of the model has 漢 in it" in fails("sample", run, "--ban", "漢")
    message = fails("sample", run, "--dry-sequence-breaker", "漢")
    assert "--dry-sequence-breaker: no token of the model has 漢 in it" in message
    assert "--logit-bias: th is not one token of the model" in fails("sample", run, "--logit-bias", "th=1")
    for odd in ("w", "w=", "=1", "w=x", "w=nan"):
        assert "--logit-bias: expected TEXT=X or #N=X, X a number" in fails("sample", run, "--logit-bias", odd)
    assert "--logit-bias: expected a token from 0 to" in fails("sample", run, "--logit-bias", "#9999=1")


def test_repetitions_are_not_looked_for_across_a_breaker(cli, run, model):
    dry = ["-n", 300, "-s", 1, "--dry-multiplier", 3]
    plain = cli("sample", run, *dry).stdout
    broken = cli("sample", run, *dry, "-e", "--dry-sequence-breaker", r"\n", "--dry-sequence-breaker", " ").stdout
    ids = [int(model.tokenizer.encode(text)[0]) for text in "\n "]
    assert broken == model.generate(length=300, seed=1, dry_multiplier=3.0, dry_breakers=ids) + "\n"
    assert broken != plain


def test_novelty_is_reported_after_the_text(cli, fails, run):
    plain = cli("sample", run, "-n", 300, "-s", 1, "--num-samples", 2)
    told = cli("sample", run, "-n", 300, "-s", 1, "--num-samples", 2, "--report-novelty")
    assert told.stdout == plain.stdout
    assert told.stderr.startswith("text     600 characters, looked for in ")
    assert "longest  " in told.stderr
    assert "--report-novelty" in fails("sample", run, "--lines", "--report-novelty")


def test_the_temperature_that_the_training_found(cli, run, model, tmp_path):
    found = json.loads(cli("info", run, "--json").stdout)["temperature"]
    assert 0.3 < found < 3
    assert found == model.calibrated_temperature
    wanted = model.generate("The", length=40, seed=2, temperature=found) + "\n"
    assert cli("sample", run, "-p", "The", "-n", 40, "-s", 2, "--temperature", "auto").stdout == wanted
    assert model.generate("The", length=40, seed=2, temperature="auto") + "\n" == wanted
    small = tmp_path / "small"
    assert cli("quantize", run, "--out", small).exit_code == 0
    assert textgru.load(small).calibrated_temperature == found


def test_a_run_without_a_temperature_of_its_own(fails, tmp_path, text_file):
    out = tmp_path / "run"
    model = textgru.train(text_file, out, hidden_size=8, embedding_size=4, max_steps=2, val_fraction=0)
    line = fails("sample", out, "--temperature", "auto", "-n", 3)
    assert "temperature: auto isn't known of this model" in line
    with pytest.raises(textgru.InputError, match="give a number"):
        model.generate("The", length=3, temperature="auto")
