"""Loss, accuracy and calibration of a network against plain NumPy, and against PyTorch where it is installed."""

import numpy as np
import pytest

from tests.analysis.plain import log_probabilities, of_targets
from tests.analysis.test_calibration import by_definition
from textgru.analysis import quality
from textgru.analysis.evaluate import evaluate
from textgru.analysis.quality import measure
from textgru.model.config import NetworkConfig
from textgru.model.network import Network

VOCABULARY = 11


def learned(cell="gru"):
    """A network that is now and then right, and as large weights have it: sure."""
    network = Network(NetworkConfig(VOCABULARY, 5, 9, 2, cell=cell), seed=1)
    network.parameters.values[...] *= 4
    return network


@pytest.fixture(scope="module")
def network():
    return learned()


def text(n):
    return np.random.default_rng(n).integers(0, VOCABULARY, n).astype(np.uint8)


def expected(log_p, targets):
    """(loss, accuracy, top-5 accuracy, calibration error) of log-probabilities (n, V)."""
    order = np.argsort(-log_p, axis=1)
    right = order[:, 0] == targets
    return (
        -log_p[np.arange(len(targets)), targets].mean(),
        right.mean(),
        (order[:, :5] == targets[:, None]).any(axis=1).mean(),
        by_definition(np.exp(log_p.max(axis=1)), right),
    )


def figures(found):
    return found.score.loss, found.accuracy, found.top5_accuracy, found.calibration_error


@pytest.mark.parametrize("n", [2, 3, 700, 9000])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_it_is_what_numpy_says(cell, n):
    network, tokens = learned(cell), text(n)
    found = measure(network, tokens)
    assert found.score.tokens == n - 1
    assert figures(found) == pytest.approx(expected(log_probabilities(network, tokens), tokens[1:]), abs=1e-5)


def test_it_is_what_pytorch_says(network):
    torch = pytest.importorskip("torch")
    tokens, views = text(5000), {name: torch.tensor(array) for name, array in network.named_parameters().items()}
    gru = torch.nn.GRU(5, 9, 2)
    gru.load_state_dict({name.removeprefix("gru."): view for name, view in views.items() if name.startswith("gru.")})
    with torch.inference_mode():
        ids = torch.tensor(tokens.astype(np.int64))
        y, _ = gru(views["embedding.weight"][ids[:-1]][:, None])
        logits = torch.nn.functional.linear(y[:, 0], views["output.weight"], views["output.bias"])
        loss = torch.nn.functional.cross_entropy(logits.double(), ids[1:])
        top = torch.topk(logits, 5).indices == ids[1:, None]
    found = measure(network, tokens)
    assert found.score.loss == pytest.approx(float(loss), abs=1e-6)
    assert found.accuracy == pytest.approx(float(top[:, 0].double().mean()), abs=1e-3)
    assert found.top5_accuracy == pytest.approx(float(top.any(dim=1).double().mean()), abs=1e-3)


@pytest.mark.parametrize("n", [1000, 1001, 1002, 1003, 1004])
def test_parts_side_by_side_score_every_token_once(network, n, monkeypatch):
    monkeypatch.setattr(quality, "SHORTEST_PART", 250)
    monkeypatch.setattr(quality, "CONTEXT", 30)
    monkeypatch.setattr(quality, "WINDOW", 64)
    tokens, rows = text(n), (n - 1) // 250
    part = (n - 1 - 30) // rows
    log_p = [log_probabilities(network, tokens[: part + 31])]
    for row in range(1, rows):
        end = part + 31 if row < rows - 1 else n
        log_p.append(log_probabilities(network, tokens[row * part :][:end])[30:])
    found = measure(network, tokens)
    assert found.score.tokens == n - 1 == sum(map(len, log_p))
    assert figures(found) == pytest.approx(expected(np.concatenate(log_p), tokens[1:]), abs=1e-5)


def test_with_context_enough_it_is_one_walk(network):
    tokens = text(70_000)
    one, several = measure(network, tokens, streams=1), measure(network, tokens)
    assert several.score.loss == pytest.approx(one.score.loss, abs=1e-6)
    assert several.score.loss != one.score.loss  # it was read in parts
    assert several[1:] == pytest.approx(one[1:], abs=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_loss_is_that_of_evaluate(network, precision):
    tokens, packed = text(5000), network.pack(precision)
    assert measure(packed, tokens).score.loss == pytest.approx(evaluate(packed, tokens, streams=1).loss, abs=1e-6)


def test_a_network_that_has_no_preference_is_never_right():
    network = Network(NetworkConfig(VOCABULARY, 5, 9), seed=1)
    network.parameters.values[...] = 0
    found = measure(network, text(500))
    assert found.score.loss == pytest.approx(np.log(VOCABULARY))
    assert found.accuracy == found.top5_accuracy == 0


def test_weights_that_are_no_numbers_are_never_right():
    network = Network(NetworkConfig(VOCABULARY, 5, 9), seed=1)
    network.parameters.values[...] = np.nan
    found = measure(network, text(500))
    assert np.isnan(found.score.loss)
    assert found.accuracy == found.top5_accuracy == 0


def test_a_large_vocabulary_is_scored_in_smaller_windows(monkeypatch, network):
    tokens = text(3000)
    whole = measure(network, tokens)
    monkeypatch.setattr(quality, "LOGITS_BYTES", 7 * VOCABULARY * 4)
    seen, scores = [], network.scores
    monkeypatch.setattr(network, "scores", lambda tokens, state: seen.append(tokens.size) or scores(tokens, state))
    assert figures(measure(network, tokens)) == pytest.approx(figures(whole), abs=1e-6)
    assert max(seen) == 7


def test_progress(network):
    told = []
    found = measure(network, text(40_000), on_progress=lambda *now: told.append(now))
    assert told == sorted(told)
    assert {total for _, total in told} == {found.score.tokens}
    assert found.score.tokens - 2 <= told[-1][0] <= found.score.tokens


def test_too_short(network):
    with pytest.raises(ValueError, match="expected at least 2, got 1"):
        measure(network, np.zeros(1, np.uint8))


def test_plain_log_probabilities_are_those_of_the_losses(network):
    """What the tests above hold everything against."""
    tokens = text(300)
    loss = -of_targets(log_probabilities(network, tokens), tokens).mean()
    assert evaluate(network, tokens).loss == pytest.approx(loss, abs=1e-6)
