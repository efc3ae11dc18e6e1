"""textgru info, --version, --help."""

import json

import textgru
from textgru.core import get_num_threads, simd


def test_json_is_one_object_with_the_scores(cli, run):
    result = cli("info", run, "--json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    model = textgru.load(run)
    assert facts["parameters"] == sum(array.size for array in model.network.named_parameters().values())
    assert facts["val_loss"] == model.run.scores["val_loss"]
    assert facts["bits_per_char"] == model.run.scores["bits_per_char"]
    assert facts["tokens_seen"] == facts["step"] * 8 * 16
    assert facts["config"]["network"]["hidden_size"] == 24
    assert facts["config"]["training"]["max_steps"] == 60
    assert facts["format_version"] == 1


def test_text_names_the_same_figures(cli, run):
    facts = json.loads(cli("info", run, "--json").stdout)
    text = cli("info", run).stdout
    assert f"{facts['parameters']:,}" in text
    assert f"{facts['val_loss']:.4f} nats a token" in text
    assert "GRU, 1 x 24 units, embedding 8" in text
    assert "learning_rate 0.004" in text


def test_system(cli):
    text = cli("info", "--system").stdout
    assert simd.instruction_set() in text
    assert "OpenBLAS" in text
    facts = json.loads(cli("info", "--system", "--json").stdout)
    assert facts["threads"] == get_num_threads()
    assert facts["supported"] == simd.supported_instruction_sets()


def test_system_says_what_each_instruction_set_gives(cli):
    """The fallback chain: what is native, what is emulated, what the BLAS does."""
    for name in simd.supported_instruction_sets():
        simd.set_instruction_set(name)
        facts = json.loads(cli("info", "--system", "--json").stdout)
        assert facts["instruction_set"] == name
        assert facts["fp32_products"] == ("packed" if name.startswith("avx") else "BLAS")
        assert facts["bf16_products"] == ("native" if name.endswith("_bf16") else "emulated")
        dot = name.endswith(("_bf16", "_vnni", "_dot"))
        assert facts["int8_products"] == ("native" if dot else "plain C")


def test_bad_input_is_one_line(fails, run, tmp_path):
    assert "no such run" in fails("info", tmp_path / "none")
    assert "give a RUN or --system" in fails("info")
    assert "give a RUN or --system" in fails("info", run, "--system")
    assert "No such command 'sing'" in fails("sing")


def test_version_and_help(cli):
    assert cli("--version").stdout == f"textgru {textgru.__version__}\n"
    for arguments in (
        ["--help"],
        ["train", "-h"],
        ["sample", "--help"],
        ["info", "--help"],
        ["eval", "-h"],
        ["quantize", "-h"],
        ["plot", "-h"],
        ["compare", "-h"],
        ["corpora", "--help"],
    ):
        result = cli(*arguments)
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: ")
