"""The official client against the real process."""

import json
import subprocess

import openai
import pytest

import textgru


@pytest.fixture
def client(serving):
    with openai.OpenAI(base_url=f"{serving.url}/v1", api_key="any", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_a_text_is_that_of_the_command_line(client, runs, kind):
    answer = client.completions.create(model=kind, prompt="The ferry", max_tokens=70, seed=3, temperature=0.9)
    written = textgru.load(runs[kind]).generate("The ferry", length=70, seed=3, temperature=0.9)
    assert "The ferry" + answer.choices[0].text == written
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 70
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 70
    assert answer.model == kind


def test_a_stream_is_the_same_text(client, runs):
    settings = {"model": "char", "prompt": "Tam", "max_tokens": 400, "seed": 5, "top_p": 0.9}
    whole = client.completions.create(**settings).choices[0].text
    parts = list(client.completions.create(**settings, stream=True, stream_options={"include_usage": True}))
    assert "".join(part.choices[0].text for part in parts if part.choices) == whole
    assert [part.choices[0].finish_reason for part in parts if part.choices][-1] == "length"
    assert parts[-1].usage.completion_tokens == 400


def test_several_prompts_and_samples_are_in_their_order(client, runs):
    answer = client.completions.create(model="char", prompt=["The ", "Tam"], n=2, max_tokens=30, seed=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    model = textgru.load(runs["char"])
    assert "The " + answer.choices[0].text == model.generate("The ", length=30, seed=2)
    alone = client.completions.create(model="char", prompt="The ", n=2, max_tokens=30, seed=2)
    assert [one.text for one in alone.choices] == [one.text for one in answer.choices[:2]]
    assert len({choice.text for choice in answer.choices}) == 4


def test_tokens_as_prompt(client, runs):
    ids = textgru.load(runs["bpe"]).tokenizer.encode("the river").tolist()
    by_ids = client.completions.create(model="bpe", prompt=ids, max_tokens=20, seed=1)
    by_text = client.completions.create(model="bpe", prompt="the river", max_tokens=20, seed=1)
    assert by_ids.choices[0].text == by_text.choices[0].text
    assert by_ids.usage.prompt_tokens == len(ids)


def test_a_stop_string_ends_the_text_and_is_not_in_it(client):
    answer = client.completions.create(model="char", prompt="The", max_tokens=400, seed=1, stop=["ro", "\n"])
    assert answer.choices[0].finish_reason == "stop"
    assert "\n" not in answer.choices[0].text
    assert "ro" not in answer.choices[0].text


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_logprobs_are_those_of_the_model(client, runs, kind):
    answer = client.completions.create(model=kind, prompt="The", max_tokens=25, seed=1, logprobs=3)
    found = answer.choices[0].logprobs
    assert "".join(found.tokens) == answer.choices[0].text
    assert len(found.tokens) == len(found.token_logprobs) == len(found.top_logprobs) == 25
    assert found.text_offset == [len("".join(found.tokens[:i])) for i in range(25)]
    model = textgru.load(runs[kind])
    piece = list(model.pieces(["The"], length=25, seed=1, log_probabilities=True))
    expected = [log for part in piece for log in part.log_probabilities]
    assert found.token_logprobs == pytest.approx(expected, abs=1e-5)
    for top in found.top_logprobs:
        assert 1 <= len(top) <= 3
        assert list(top.values()) == sorted(top.values(), reverse=True)
    streamed = list(client.completions.create(model=kind, prompt="The", max_tokens=25, seed=1, logprobs=3, stream=True))
    tokens = [token for part in streamed for token in part.choices[0].logprobs.tokens]
    assert tokens == found.tokens


def test_echo_scores_the_prompt(client, runs):
    answer = client.completions.create(model="char", prompt="The ferry", max_tokens=0, logprobs=2, echo=True)
    choice = answer.choices[0]
    assert choice.text == "The ferry"
    bits = textgru.load(runs["char"]).surprisals("The ferry").bits
    assert choice.logprobs.token_logprobs[0] is None
    assert choice.logprobs.token_logprobs[1:] == pytest.approx((-bits[1:] * 0.6931471805599453).tolist(), abs=1e-6)


def test_best_of_takes_the_likeliest(client):
    drawn = client.completions.create(model="char", prompt="The", n=4, max_tokens=12, seed=1, logprobs=1)
    best = client.completions.create(model="char", prompt="The", n=1, best_of=4, max_tokens=12, seed=1)
    means = [sum(choice.logprobs.token_logprobs) for choice in drawn.choices]
    assert best.choices[0].text == drawn.choices[means.index(max(means))].text
    assert best.usage.completion_tokens == 48


def test_controls_of_our_own(client, runs):
    more = {"top_k": 3, "repetition_penalty": 1.3, "min_p": 0.05}
    answer = client.completions.create(model="char", prompt="The", max_tokens=40, seed=1, extra_body=more)
    expected = textgru.load(runs["char"]).generate("The", length=40, seed=1, **more)
    assert "The" + answer.choices[0].text == expected
    greedy = client.completions.create(model="char", prompt="The", max_tokens=40, temperature=0)
    assert "The" + greedy.choices[0].text == textgru.load(runs["char"]).generate("The", length=40, temperature=0)


def test_a_regex_and_a_schema_are_matched(client):
    date = client.completions.create(model="byte", prompt="", max_tokens=40, extra_body={"regex": r"\d{4}-\d\d-\d\d"})
    assert len(date.choices[0].text) == 10
    assert date.choices[0].finish_reason == "stop"
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    made = client.completions.create(model="bpe", prompt="", max_tokens=60, extra_body={"json_schema": schema})
    assert json.loads(made.choices[0].text)["a"] in (True, False)


def test_logit_bias_bans(client, runs):
    token = int(textgru.load(runs["char"]).tokenizer.encode("e")[0])
    answer = client.completions.create(
        model="char", prompt="The", max_tokens=200, seed=1, logit_bias={str(token): -100}
    )
    assert "e" not in answer.choices[0].text


def test_embeddings(client, runs):
    answer = client.embeddings.create(model="char", input=["the ferry", "rope"])  # the client asks for base64
    vectors = textgru.load(runs["char"]).embed(["the ferry", "rope"])
    for one, vector in zip(answer.data, vectors, strict=True):
        assert one.embedding == pytest.approx(vector.tolist(), abs=1e-6)


def test_models(client):
    assert [model.id for model in client.models.list()] == ["char", "byte", "bpe"]
    assert client.models.retrieve("bpe").textgru["unit"] == "token"


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"model": "none"}, openai.NotFoundError, "there is no 'none'"),
        ({"suffix": "end"}, openai.BadRequestError, "suffix: not supported"),
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"top_p": 0}, openai.BadRequestError, "top_p"),
        ({"max_tokens": 20001}, openai.BadRequestError, "max_tokens"),
        ({"n": 65}, openai.BadRequestError, "n: 65 texts"),
        ({"n": 3, "best_of": 2}, openai.BadRequestError, "best_of"),
        ({"prompt": [1, 10**6]}, openai.BadRequestError, "no token 1000000"),
        ({"logit_bias": {"99999": 1}}, openai.BadRequestError, "logit_bias"),
        ({"extra_body": {"regex": "("}}, openai.BadRequestError, "regex"),
        ({"extra_body": {"tempratur": 1}}, openai.BadRequestError, "tempratur"),
        ({"extra_body": {"stop_regex": "(a+)+b"}}, openai.BadRequestError, "stop_regex"),
    ],
)
def test_errors_are_those_of_openai(client, settings, kind, said):
    with pytest.raises(kind, match=said.replace("(", r"\(")) as caught:
        client.completions.create(**{"model": "char", "prompt": "x", **settings})
    assert caught.value.body["message"]
    assert caught.value.type in ("invalid_request_error", "not_found_error")


def test_curl(serving):
    sent = json.dumps({"model": "char", "prompt": "The", "max_tokens": 5, "seed": 1, "stream": True})
    command = ["curl", "-sN", f"{serving.url}/v1/completions", "-H", "Content-Type: application/json", "-d", sent]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split("\n\n")
    assert lines[-2] == "data: [DONE]"
    assert json.loads(lines[0].removeprefix("data: "))["object"] == "text_completion"


def test_short_streams_are_always_whole(client):
    settings = {"model": "char", "prompt": "Tam", "max_tokens": 40, "n": 3}
    for seed in range(40):
        parts = [part.choices[0] for part in client.completions.create(**settings, seed=seed, stream=True)]
        assert sum(len(part.text) for part in parts) == 120
        assert sorted(part.index for part in parts if part.finish_reason) == [0, 1, 2]
