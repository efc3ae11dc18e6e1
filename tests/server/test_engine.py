"""Many texts at once: each the same as alone; none keeps the others waiting."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import textgru
from textgru.generation.sampling import Sampling
from textgru.generation.starts import first_tokens
from textgru.generation.stopping import Stopping
from textgru.server import engine as engines
from textgru.server.engine import Beginning, Engine, FullError, Job

CONTROLS = [
    {}, {"temperature": 0}, {"temperature": 1.3}, {"top_k": 3}, {"top_p": 0.8}, {"min_p": 0.1}, {"typical_p": 0.7},
    {"mirostat_tau": 3.0}, {"repetition_penalty": 1.4, "penalty_last_n": 20}, {"frequency_penalty": 0.7},
    {"dry_multiplier": 0.8}, {"top_n_sigma": 1.0}, {"dynatemp_range": 0.5}, {"logit_bias": {3: 2.0, 5: -100.0}},
    {"stop": ["ro", "\n"]}, {"length_chars": 37}, {"regex": "[A-Za-z ]{5,60}"}, {"stop_at": "sentence"},
]  # fmt: skip
PROMPTS = ["The ferry", "", "Tam said " * 200, "T", "rope and stone\n"]


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_a_text_is_the_same_in_any_company(serving, runs, kind):
    """To the character, with all controls at once, texts that come and go, and readers that leave."""
    import openai

    asked = [
        {"prompt": PROMPTS[i % len(PROMPTS)], "length": 30 + 41 * (i % 4), "seed": i, **controls}
        for i, controls in enumerate(CONTROLS * 3)
    ]

    def served(number):
        settings = dict(asked[number])
        body = {name: settings.pop(name) for name in ("prompt", "seed", "stop", "temperature") if name in settings}
        body |= {"model": kind, "max_tokens": settings.pop("length")}
        if "logit_bias" in settings:
            body["logit_bias"] = {str(token): value for token, value in settings.pop("logit_bias").items()}
        with openai.OpenAI(base_url=f"{serving.url}/v1", api_key="any", max_retries=0) as client:
            if number % 5 == 4:  # one that goes away
                left = client.completions.create(model=kind, prompt="T", max_tokens=20000, stream=True)
                next(iter(left))
                left.close()
            return client.completions.create(**body, extra_body=settings).choices[0].text

    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(served, range(len(asked))))
    model = textgru.load(runs[kind])
    for settings, text in zip(asked, texts, strict=True):
        prompt = settings.pop("prompt")
        assert prompt + text == model.generate(prompt, **settings), settings


class Running:
    """An engine of the char model, and what it has delivered."""

    def __init__(self, run, **limits):
        self.model = textgru.load(run)
        self.engine = Engine(self.model.packed(), self.model.tokenizer, self._deliver, **limits)
        self.order, self.texts, self.errors = [], {}, {}
        self.changed = threading.Condition()

    def _deliver(self, found):
        with self.changed:
            for job, drawn in found:
                self.order.append(job.outbox)
                self.texts[job.outbox] = self.texts.get(job.outbox, "") + drawn.text
                if drawn.finish_reason or drawn.error:
                    self.errors[job.outbox] = drawn.error
            self.changed.notify_all()

    def job(self, name, prompt="The", length=50, seed=1, **sampling):
        tokens = first_tokens(self.model.tokenizer, prompt)
        rng = np.random.default_rng(seed)
        return Job(Beginning(tokens, bool(prompt)), rng, Sampling(**sampling), Stopping(length), outbox=name)

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, 20)


@pytest.fixture
def running(runs):
    started = Running(runs["char"], slots=4, queue=3)
    yield started
    started.engine.close()
    started.engine.join(20)


def test_an_endless_text_does_not_keep_others_waiting(running):
    endless = running.job("endless", length=10**9)
    running.engine.submit([endless])
    running.wait(lambda: "endless" in running.order)
    running.engine.submit([running.job("other controls", top_k=2), running.job("same controls", seed=2)])
    running.wait(lambda: len(running.errors) == 2)
    for name, settings in (("other controls", {"top_k": 2, "seed": 1}), ("same controls", {"seed": 2})):
        assert "The" + running.texts[name] == running.model.generate("The", length=50, **settings)
    endless.cancelled = True


def test_a_long_prompt_does_not_keep_others_waiting(running):
    running.engine.submit([running.job("long", prompt="rope " * 40_000), running.job("short")])
    running.wait(lambda: len(running.errors) == 2)
    last_of_short = max(i for i, name in enumerate(running.order) if name == "short")
    assert last_of_short < running.order.index("long")
    expected = running.model.generate("rope " * 40_000, length=50, seed=1)
    assert "rope " * 40_000 + running.texts["long"] == expected


def test_a_prompt_is_read_once_for_all_its_texts(running, monkeypatch):
    read = []
    plain = engines.read_prompt

    def counted(packed, tokens, state=None):
        read.append(len(tokens) - 1)
        return plain(packed, tokens, state)

    monkeypatch.setattr(engines, "read_prompt", counted)
    jobs = [running.job(number, prompt="rope " * 300, seed=number) for number in range(5)]
    for job in jobs:
        job.prompt = jobs[0].prompt
    jobs[0].cancelled = True
    running.engine.submit(jobs)
    running.wait(lambda: running.errors.keys() == {1, 2, 3, 4})
    assert sum(read) == 1499
    assert "rope " * 300 + running.texts[3] == running.model.generate("rope " * 300, length=50, seed=3)


def test_a_text_that_fails_fails_alone(running):
    running.engine.submit([running.job("fails", repetition_penalty=1e-300, length=10**6), running.job("goes on")])
    running.wait(lambda: len(running.errors) == 2)
    assert running.errors["fails"] is not None
    assert running.errors["goes on"] is None
    assert "The" + running.texts["goes on"] == running.model.generate("The", length=50, seed=1)


def test_places_and_the_queue_are_as_many_as_was_said(running):
    jobs = [running.job(number, length=10**9) for number in range(7)]
    running.engine.submit(jobs)
    running.wait(lambda: {0, 1, 2, 3} <= {*running.order})
    assert (running.engine.active, running.engine.waiting) == (4, 3)
    with pytest.raises(FullError):
        running.engine.submit([running.job("too many")])
    jobs[0].cancelled = True
    running.wait(lambda: 4 in running.order)
    assert (running.engine.active, running.engine.waiting) == (4, 2)
    for job in jobs:
        job.cancelled = True


def test_what_is_closed_ends_what_it_has_and_takes_no_more(running):
    running.engine.submit([running.job(number, length=5000) for number in range(6)])
    running.engine.close()
    with pytest.raises(FullError):
        running.engine.submit([running.job("late")])
    running.engine.join(20)
    assert running.errors == dict.fromkeys(range(6))
