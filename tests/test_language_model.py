"""import textgru: train, load, generate, stream, perplexity."""

import asyncio
import copy
import json
import math
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import textgru
from tests.texts import sentences
from textgru.errors import InputError
from textgru.training.events import EndEvent

TEXT = sentences(60_000)
QUICK = {"hidden_size": 48, "embedding_size": 16, "batch_size": 16, "seq_length": 32, "learning_rate": 1e-2,
         "warmup": 10}  # fmt: skip


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "tales.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def trained(text_file, tmp_path_factory):
    """The model, the run directory, the events."""
    out, events = tmp_path_factory.mktemp("runs") / "tales", []
    model = textgru.train(text_file, out, max_steps=250, on_event=events.append, **QUICK)
    return model, out, events


@pytest.fixture(scope="module")
def model(trained):
    return trained[0]


def test_a_trained_model_knows_its_text(model):
    assert model.perplexity(TEXT[-2000:]) < 2.5
    with pytest.warns(UserWarning, match="unknown to the model"):
        assert model.perplexity("qwertyuiopasdfgh" * 10) > 100
    written = model.generate("The ferry ", length=400, temperature=0.5, seed=1)
    words = [word.strip(".").lower() for word in written.split()[:-1]]
    known = set(TEXT.replace(".", "").lower().split())
    assert sum(word in known for word in words) > 0.9 * len(words)


def test_the_returned_model_is_the_saved_one(trained):
    model, out, events = trained
    loaded = textgru.load(out)
    np.testing.assert_array_equal(loaded.network.parameters.values, model.network.parameters.values)
    assert loaded.generate("A", length=50, seed=3) == model.generate("A", length=50, seed=3)
    assert isinstance(events[-1], EndEvent)
    assert loaded.run.scores["val_loss"] == events[-1].best.val_loss
    held_out = TEXT[-6000:]
    assert model.score(held_out).loss == pytest.approx(loaded.run.scores["val_loss"], abs=0.02)


def test_metrics_are_one_json_object_a_line(trained):
    lines = [json.loads(line) for line in (trained[1] / "metrics.jsonl").read_text().splitlines()]
    assert {line["event"] for line in lines} == {"step", "evaluation", "end"}
    assert [line["step"] for line in lines if line["event"] == "step"] == list(range(10, 251, 10))
    assert lines[-1]["event"] == "end"


def test_generate_gives_the_prompt_and_so_many_tokens(model):
    text = model.generate("The river", length=77, seed=1)
    assert text.startswith("The river")
    assert len(text) == len("The river") + 77
    assert model.generate("The river", length=0) == "The river"
    assert "".join(model.stream("The river", length=77, seed=1)) == text.removeprefix("The river")
    assert len(model.generate(length=20, seed=1)) == 20


def test_several_prompts_are_drawn_side_by_side(model):
    prompts = ["The ferry", "tar", "", "The ferry"]
    texts = model.generate(prompts, length=40, seed=1)
    assert texts[0] == model.generate("The ferry", length=40, seed=1), "the first is as it is alone"
    assert texts[0] != texts[3]
    assert [text.startswith(prompt) for text, prompt in zip(texts, prompts, strict=True)] == [True] * 4
    assert model.generate(tuple(prompts), length=40, seed=1) == texts
    assert model.generate([]) == []


def test_a_stream_says_why_it_ended(model):
    stream = model.stream("The", length=5, seed=1)
    assert stream.finish_reason is None
    assert len("".join(stream)) == 5
    assert stream.finish_reason == "length"
    stream = model.stream("The", stop=".", seed=1)
    assert "." not in "".join(stream)
    assert stream.finish_reason == "stop"
    assert len("".join(model.stream("The", length_chars=13, seed=1))) == 13


def test_a_stream_for_asyncio(model):
    async def all_of(**settings):
        return "".join([piece async for piece in model.astream("The", **settings)])

    async def both():
        return await asyncio.gather(all_of(length=300, seed=1), all_of(length=300, seed=2))

    wanted = ["".join(model.stream("The", length=300, seed=seed)) for seed in (1, 2)]
    assert asyncio.run(both()) == wanted


def test_a_stream_for_asyncio_can_be_cancelled(model):
    async def some():
        got = []

        async def collect():
            async for piece in model.astream("The", length=10**9, seed=1):
                got.append(piece)

        task = asyncio.create_task(collect())
        while len(got) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return "".join(got)

    text = asyncio.run(some())
    assert text == "".join(model.stream("The", length=10**9, length_chars=len(text), seed=1))


def test_the_likeliest_texts(model):
    found = model.beam_search("The ferry", width=8, n_best=3, length=20)
    assert [one.score for _, one in found] == sorted((one.score for _, one in found), reverse=True)
    for text, one in found:
        assert text == model.tokenizer.decode(list(one.tokens))
    tokens = model.tokenizer.encode("The ferry" + found[0][0])
    loss = model.network.losses(tokens[:-1, None].copy(), tokens[1:, None].copy(), model.network.initial_state(1))[0][
        len("The ferry") - 1 :
    ].sum()
    assert found[0][1].log_probability == pytest.approx(-loss, abs=1e-3)
    ends = model.beam_search("The ferry", width=8, n_best=3, length=60, stop=["an", "r"], stop_at="line")
    assert "stop" in {one.finish_reason for _, one in ends}
    for text, one in ends:
        whole = model.tokenizer.decode(list(one.tokens))
        assert whole.removeprefix(text) in ({"an", "r", "\n"} if one.finish_reason == "stop" else {""})
        assert not any(end in text for end in ("an", "r", "\n"))
    ((greedy, _),) = model.beam_search("The ferry", width=1, length=20)
    assert greedy == "".join(model.stream("The ferry", temperature=0, length=20))
    ((rest, _),) = model.beam_search(" crossed", state=model.prime("The ferry"), width=4, length=20)
    assert rest == model.beam_search("The ferry crossed", width=4, length=20)[0][0]


def test_seeds(model):
    assert model.generate(length=60, seed=5) == model.generate(length=60, seed=5)
    assert model.generate(length=60, seed=5) != model.generate(length=60, seed=6)
    assert model.generate(length=60) != model.generate(length=60)
    assert model.generate(length=60, temperature=0) == model.generate(length=60, temperature=0, seed=9)


def test_top_k_of_one_is_greedy(model):
    assert model.generate(length=60, top_k=1) == model.generate(length=60, temperature=0)
    assert model.generate(length=60, top_p=1e-6) == model.generate(length=60, temperature=0)


def test_a_long_prompt_is_read_whole(model):
    """The prompt is read in pieces; the state after it must be that of one walk."""
    prompt = TEXT[:1000]
    session = model.network.session()
    for token in model.tokenizer.encode(prompt):
        session.step(token)
    wanted = model.tokenizer.decode([int(np.argmax(session.logits[0, 1:])) + 1])
    assert model.generate(prompt, length=1, temperature=0)[-1] == wanted


def test_unknown_characters_in_a_prompt(model):
    text = model.generate("Ж漢", length=30, seed=1)
    assert text.startswith("Ж漢")
    assert "\ufffd" not in text[2:]


def test_the_unknown_token_is_never_written(model):
    bias = model.network.output.parameters["bias"]
    kept = bias[model.tokenizer.unk_id]
    bias[model.tokenizer.unk_id] = 100
    model.repack()
    try:
        assert "\ufffd" not in model.generate(length=50, seed=1)
    finally:
        bias[model.tokenizer.unk_id] = kept
        model.repack()


def test_a_model_can_be_copied(model):
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert copied.generate("The", length=40, seed=3) == model.generate("The", length=40, seed=3)
        assert copied.perplexity("The ferry") == model.perplexity("The ferry")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_several_threads_use_one_model(trained, precision):
    model = textgru.load(trained[1], precision=precision)

    def answers(seed):
        prompt = TEXT[: 300 + 50 * seed]
        return model.generate(prompt, length=200, seed=seed), model.generate("A", length=40, top_k=3, seed=seed), (
            model.score(prompt).loss
        )  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(answers, range(8)))
    assert together == [answers(seed) for seed in range(8)]


def test_weights_are_packed_once_until_they_change(trained, monkeypatch):
    model, packed = textgru.load(trained[1]), []
    pack = model.network.pack
    monkeypatch.setattr(model.network, "pack", lambda precision: packed.append(precision) or pack(precision))
    first = model.generate("A", length=30, seed=1)
    assert model.generate("A", length=30, seed=1) == first
    model.score("The ferry")
    assert packed == ["fp32"]
    model.precision = "int8"
    model.generate("A", length=30, seed=1)
    assert packed == ["fp32", "int8"]
    model.precision = "fp32"
    model.network.parameters.values[...] = 0
    assert model.generate("A", length=30, seed=1) == first
    model.repack()
    assert model.generate("A", length=30, seed=1) != first
    assert packed == ["fp32", "int8", "fp32"]


def test_a_precision_for_use_is_none_for_saving(model, tmp_path):
    with pytest.raises(InputError, match="precision: expected fp32 or int8, got 'bf16'"):
        model.save(tmp_path / "run", precision="bf16")
    with pytest.raises(InputError, match="precision: expected fp32, bf16 or int8, got 'int4'"):
        textgru.load(model.run.path, precision="int4")


def test_perplexity_is_that_of_the_mean_loss(model):
    tokens = model.tokenizer.encode("the ferry")
    losses, _ = model.network.losses(tokens[:-1, None].copy(), tokens[1:, None].copy(), model.network.initial_state(1))
    assert model.perplexity("the ferry") == pytest.approx(math.exp(losses.mean()), rel=1e-6)
    with pytest.raises(ValueError, match="at least 2"):
        model.perplexity("t")


@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_other_tokenizers_end_to_end(text_file, tmp_path, kind):
    mixed = tmp_path / "mixed.txt"
    mixed.write_text("né à l'été 日本語 🙂 " * 800, encoding="utf-8")
    model = textgru.train([text_file, mixed], tmp_path / "run", tokenizer=kind, max_steps=60, **QUICK)
    assert textgru.load(tmp_path / "run").tokenizer.kind == kind
    pieces = list(model.stream("日", length=200, seed=1))
    assert all(pieces)
    assert model.run.scores["bits_per_char"] > 0
    tokens = model.tokenizer.encode("né 🙂")
    assert model.tokenizer.decode(tokens) == "né 🙂"


def test_same_seed_same_model(text_file, tmp_path):
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        textgru.train(text_file, tmp_path / name, max_steps=20, seed=seed, dropout=0.1, **QUICK)
        weights.append((tmp_path / name / "model.safetensors").read_bytes()[-1000:])
    assert weights[0] == weights[1] != weights[2]


def test_tied_weights_take_the_hidden_size(text_file, tmp_path):
    model = textgru.train(text_file, tmp_path / "run", tie_weights=True, hidden_size=24, max_steps=2)
    assert model.network.config.embedding_size == 24
    model = textgru.train(text_file, tmp_path / "default", tie_weights=True, max_steps=1)
    assert model.network.config.embedding_size == model.network.config.hidden_size
    assert "output.weight" not in model.network.named_parameters()


def test_default_out_does_not_overwrite(text_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        textgru.train(text_file, max_steps=2, **QUICK)
    assert sorted(os.listdir("runs")) == ["tales", "tales-2"]


def test_bad_values_are_value_errors_that_name_them(model, tmp_path):
    for arguments in ({"length": -1}, {"temperature": -1}, {"top_k": 0}, {"top_p": 2}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            model.stream("x", **arguments)
    with pytest.raises(ValueError, match="no such file"):
        textgru.train(tmp_path / "none.txt", tmp_path / "run")
    with pytest.raises(textgru.InputError, match="no such run"):
        textgru.load(tmp_path / "none")
    with pytest.raises(TypeError, match="learning_rat"):
        textgru.train(tmp_path / "none.txt", learning_rat=1)


def test_line_ends_and_marks_are_read_as_in_training(model):
    for odd, plain in (("The ferry\r\ncrossed", "The ferry\ncrossed"), ("\ufeffThe\rferry\r", "The\nferry\n")):
        assert model.score(odd) == model.score(plain)
        assert model.perplexity(odd) == model.perplexity(plain)
        pieces = list(model.stream(odd, length=20, seed=1))
        assert pieces == list(model.stream(plain, length=20, seed=1))
        assert model.generate(odd, length=20, seed=1) == odd + "".join(pieces)
    with pytest.raises(InputError, match="text: expected a str, got bytes"):
        model.score(b"The ferry")
    with pytest.raises(InputError, match="prompt: expected a string, got null"):
        model.generate(None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 1.5}, "length: expected an integer from 0"),
        ({"length": float("inf")}, "length: expected an integer from 0"),
        ({"length": 10**400}, "length: expected an integer from 0"),
        ({"prompt": None}, "prompt: expected a string, got null"),
        ({"seed": -1}, "seed: expected an integer from 0 up"),
        ({"seed": "a"}, "seed: expected an integer from 0 up"),
        ({"seed": 1.5}, "seed: expected an integer from 0 up"),
        ({"temperature": "1"}, "temperature: expected a number from 0 up"),
        ({"top_k": True}, "top_k: expected an integer from 1 up"),
        ({"prompt": ["a", 1]}, "prompt: expected a string, got 1"),
        ({"prompt": {"a"}}, "prompt: expected a string, got {'a'}"),
        ({"stop": [""]}, "stop: expected strings of at least one character"),
    ],
)
def test_wrong_arguments_are_named(model, arguments, message):
    with pytest.raises(textgru.InputError, match=message):
        model.generate(**arguments)
