"""Training in bfloat16, and models with 8-bit weights, through textgru's own face."""

import json

import numpy as np
import pytest

import textgru
from tests.texts import sentences
from textgru.core import set_num_threads, simd

TEXT = sentences(60_000)
QUICK = {"hidden_size": 64, "embedding_size": 16, "batch_size": 16, "seq_length": 32, "learning_rate": 1e-2,
         "warmup": 10}  # fmt: skip


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "tales.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def runs(text_file, tmp_path_factory):
    """Trained in float32 and in bfloat16."""
    folder = tmp_path_factory.mktemp("runs")
    for precision in ("fp32", "bf16"):
        textgru.train(text_file, folder / precision, max_steps=200, precision=precision, **QUICK)
    return folder


def test_bf16_learns_what_fp32_learns(runs):
    exact, quick = (textgru.load(runs / precision) for precision in ("fp32", "bf16"))
    assert quick.run.scores["val_loss"] == pytest.approx(exact.run.scores["val_loss"], abs=0.02)
    assert quick.run.config["training"]["precision"] == "bf16"
    weights = exact.network.parameters.values, quick.network.parameters.values
    assert not np.array_equal(*weights)
    assert weights[1].dtype == np.float32


def test_the_loss_of_a_bf16_run_is_measured_in_fp32(runs, text_file):
    """What the run says is what the saved weights give to whoever uses them."""
    model = textgru.load(runs / "bf16")
    tokens = model.tokenizer.encode(TEXT)
    validation = tokens[len(tokens) - model.run.config["corpus"]["validation_tokens"] :]
    assert textgru.analysis.evaluate.evaluate(model.network, validation).loss == model.run.scores["val_loss"]


def test_auto_is_resolved_before_it_is_written(text_file, tmp_path):
    for name in simd.supported_instruction_sets():
        simd.set_instruction_set(name)
        textgru.train(text_file, tmp_path / name, max_steps=1, precision="auto", **QUICK)
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["training"]["precision"] == ("bf16" if name == "avx512_bf16" else "fp32")
    with pytest.raises(textgru.InputError, match="precision: expected auto, fp32 or bf16, got 'fp16'"):
        textgru.train(text_file, tmp_path / "none", precision="fp16")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_threads_make_no_difference_to_a_bit(text_file, tmp_path, precision):
    """With our own products; PyTorch and a BLAS can't promise that."""
    from textgru.core.products import set_product_kernels

    set_product_kernels("packed")
    weights = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        model = textgru.train(text_file, tmp_path / str(threads), max_steps=20, precision=precision, **QUICK)
        weights.append(model.network.parameters.values.tobytes())
    assert len(set(weights)) == 1


def test_int8_generates_and_scores(runs):
    exact, rounded = textgru.load(runs / "fp32"), textgru.load(runs / "fp32", precision="int8")
    text = rounded.generate("The ferry ", length=400, temperature=0.5, seed=1)
    words = [word.strip(".").lower() for word in text.split()[:-1]]
    known = set(TEXT.replace(".", "").lower().split())
    assert sum(word in known for word in words) > 0.9 * len(words)
    assert text == rounded.generate("The ferry ", length=400, temperature=0.5, seed=1)
    assert rounded.generate(length=50, temperature=0) == rounded.generate(length=50, top_k=1)
    held_out = TEXT[-6000:]
    assert 0 < abs(rounded.score(held_out).loss - exact.score(held_out).loss) < 0.002


def test_a_model_of_8_bits_is_saved_and_loaded(runs, tmp_path):
    model = textgru.load(runs / "fp32")
    model.save(tmp_path / "small", precision="int8")
    size, before = ((path / "model.safetensors").stat().st_size for path in (tmp_path / "small", runs / "fp32"))
    assert size < 0.32 * before  # biases and scales stay in float32
    small = textgru.load(tmp_path / "small")
    assert (model.precision, small.precision) == ("fp32", "int8")
    assert small.run.scores == model.run.scores
    held_out = TEXT[-6000:]
    assert 0 < abs(small.score(held_out).loss - model.score(held_out).loss) < 0.002
    again = tmp_path / "again"
    small.save(again, precision="int8")
    first, second = (textgru.load(path).network.parameters.values for path in (tmp_path / "small", again))
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_saving_in_float32_loses_nothing(runs, tmp_path):
    model = textgru.load(runs / "bf16")
    model.save(tmp_path / "copy")
    copy = textgru.load(tmp_path / "copy")
    np.testing.assert_array_equal(copy.network.parameters.values, model.network.parameters.values)
    assert copy.run.config["training"] == model.run.config["training"]
    with pytest.raises(textgru.InputError, match="holds another run"):
        model.save(tmp_path / "copy")
    model.save(tmp_path / "copy", precision="int8", overwrite=True)
    assert textgru.load(tmp_path / "copy").precision == "int8"


def test_a_model_without_a_run_is_saved(runs, tmp_path):
    model = textgru.load(runs / "fp32")
    textgru.LanguageModel(model.network, model.tokenizer).save(tmp_path / "bare")
    assert textgru.load(tmp_path / "bare").generate(length=30, seed=1) == model.generate(length=30, seed=1)


def test_precisions_that_do_not_exist_are_named(runs, tmp_path):
    model = textgru.load(runs / "fp32")
    with pytest.raises(textgru.InputError, match="precision: expected fp32, bf16 or int8, got 'int4'"):
        textgru.load(runs / "fp32", precision="int4")
    with pytest.raises(textgru.InputError, match="precision: expected fp32 or int8, got 'bf16'"):
        model.save(tmp_path / "none", precision="bf16")
    assert not (tmp_path / "none").exists()


def edited(run, change):
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


def test_damaged_int8_runs_are_refused_in_one_line(runs, tmp_path):
    textgru.load(runs / "fp32").save(tmp_path / "small", precision="int8")
    edited(tmp_path / "small", lambda config: config.pop("weights"))
    with pytest.raises(textgru.InputError, match=r"does not fit config.json: .*scale.* unexpected"):
        textgru.load(tmp_path / "small")
    for weights in ({"precision": "int4"}, "int8", {}):
        edited(tmp_path / "small", lambda config, weights=weights: config.update(weights=weights))
        with pytest.raises(textgru.InputError, match="damaged: weights"):
            textgru.load(tmp_path / "small")
    edited(tmp_path / "small", lambda config: config.update(weights={"precision": "int8"}))
    assert textgru.load(tmp_path / "small").precision == "int8"
