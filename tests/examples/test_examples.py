"""Each example learns, in a smaller setting than the one it is run with."""

import numpy as np
import pytest

from examples import sentiment, speech, time_series, translation
from textgru.core import set_num_threads

LINES: list[str] = []


@pytest.fixture(autouse=True)
def _one_thread():
    """These are so small that threads only wait for one another."""
    set_num_threads(1)


def test_sentiment_needs_the_order_of_words():
    accuracy, baseline = sentiment.run(steps=200, count=2000, report=LINES.append)
    assert accuracy > 0.95
    assert accuracy > baseline + 0.2


@pytest.mark.parametrize("words", [sentiment.KIND, sentiment.UNKIND])
def test_no_sentence_that_was_trained_on_is_asked(words):
    texts, labels = sentiment.dataset(300, seed=1)
    others, _ = sentiment.dataset(300, seed=1, without=set(texts))
    assert not set(texts) & set(others)
    assert any(word in text for text in texts for word in words)
    assert 0.3 < labels.mean() < 0.7


def test_translation_learns_to_write_dates():
    rng = np.random.default_rng(0)
    texts, source, target = translation.pairs([0, 27_723, 36_524], rng)
    assert [text[-4:] for text in texts] == ["1950", "2025", "2049"]
    model, losses = translation.Translator(hidden=64), []
    for _ in range(100):
        _, x, y = translation.pairs(rng.integers(0, translation.DAYS, 64), rng)
        losses.append(model.step(x, y, lr=5e-3))
    assert np.mean(losses[-10:]) < 0.5 * losses[0]
    written = model.translate(source)
    assert written.shape == target.shape
    assert (written[[4, 7]] == translation.TARGET.index("-")).all()


def test_speech_is_labelled_without_alignments():
    some = speech.batch(6, np.random.default_rng(0))
    model = speech.Labeller(hidden=32)
    assert model.error_rate(*some) > 0.7
    for _ in range(150):
        model.step(*some)
    assert model.error_rate(*some) < 0.1


def test_edits():
    assert speech.edits([], [1, 2]) == 2
    assert speech.edits([1, 2, 3], [1, 3]) == 1
    assert speech.edits([1, 2], [2, 1]) == 2
    assert speech.edits([1, 2, 3], [4, 2, 3]) == 1


def test_a_path_is_read_as_labels():
    logits = np.eye(3)[[1, 1, 0, 1, 2, 2]][:, None]
    assert speech.best_path(logits, [6]) == [[1, 1, 2]]
    assert speech.best_path(logits, [3]) == [[1]]


def seasonal():
    """A year's cycle that drifts, and noise: in place of the series that a package brings."""
    months = np.arange(732)
    noise = 0.2 * np.random.default_rng(0).standard_normal(732)
    return 23 + 3 * np.sin(2 * np.pi * months / 12) + 0.7 * np.sin(2 * np.pi * months / 43) + noise


def test_a_time_series_is_forecast_better_than_by_repeating_it(monkeypatch):
    monkeypatch.setattr(time_series, "series", seasonal)
    errors, shares = time_series.run(steps=150, report=LINES.append)
    assert errors["GRU"] < 0.7 * min(errors["naive"], errors["seasonal naive"])
    assert shares["GRU"] > shares["naive"]


def test_the_series_of_statsmodels():
    values = time_series.series()
    assert values.shape == (732,)
    assert values[[0, -1]].tolist() == [23.11, 22.07]
