"""CTC: against the sum over all alignments, finite differences, PyTorch; lengths, impossible rows, extremes."""

from itertools import groupby, product

import numpy as np
import pytest

from tests.reference import numerical_gradient, relative_error
from textgru.core import ctc_loss, set_num_threads


def log_softmax(logits):
    wide = logits.astype(np.float64)
    wide = wide - wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))


def by_enumeration(logits, labels, blank=0):
    """-log of the summed probability of every sequence of symbols that reads as the labels: the definition."""
    steps, symbols = logits.shape
    log_p = log_softmax(logits)
    total = 0.0
    for path in product(range(symbols), repeat=steps):
        if [symbol for symbol, _ in groupby(path) if symbol != blank] == list(labels):
            total += np.exp(log_p[range(steps), path].sum())
    with np.errstate(divide="ignore"):
        return -np.log(total)


def some(steps, batch, symbols, most, dtype=np.float64, seed=0):
    """Logits, targets with -1 where they end, lengths of both; every row has steps enough."""
    rng = np.random.default_rng(seed)
    logits = (2 * rng.standard_normal((steps, batch, symbols))).astype(dtype)
    inputs = rng.integers((steps + 1) // 2, steps + 1, batch)
    lengths = rng.integers(0, most + 1, batch)
    lengths = np.minimum(lengths, (inputs + 1) // 2)
    targets = rng.integers(1, symbols, (batch, most))
    targets[np.arange(most) >= lengths[:, None]] = -1
    return logits, targets, inputs, lengths


@pytest.mark.parametrize("labels", [[], [1], [2, 1], [1, 1], [1, 2, 1], [2, 2, 2], [1, 1, 2, 2]])
@pytest.mark.parametrize("steps", [1, 3, 5, 7])
def test_the_sum_over_all_alignments(steps, labels):
    logits = 2 * np.random.default_rng(0).standard_normal((steps, 1, 3))
    loss = ctc_loss(logits, np.array([labels], np.intp).reshape(1, -1), reduction="sum")
    np.testing.assert_allclose(loss, by_enumeration(logits[:, 0], labels), rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("steps", "batch", "symbols", "most"), [(1, 1, 2, 1), (3, 3, 3, 2), (17, 4, 5, 6)])
def test_gradient_against_differences(steps, batch, symbols, most, reduction):
    logits, targets, inputs, lengths = some(steps, batch, symbols, most)
    dlogits = np.full_like(logits, np.nan)

    def loss(**options):
        return 1.5 * np.sum(ctc_loss(logits, targets, inputs, lengths, reduction=reduction, **options))

    plain = loss()
    assert loss(dlogits=dlogits, scale=1.5) == plain
    assert relative_error(dlogits, numerical_gradient(loss, logits)) < 1e-6


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize(("steps", "batch", "symbols", "most"), [(3, 1, 17, 1), (17, 3, 5, 8), (65, 17, 65, 20)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 3])
def test_losses_and_gradients_of_pytorch(threads, dtype, steps, batch, symbols, most, blank, reduction):
    torch = pytest.importorskip("torch")
    set_num_threads(threads)
    logits, targets, inputs, lengths = some(steps, batch, symbols, most, dtype)
    targets[targets == blank] = 0 if blank else 1
    dlogits = np.empty_like(logits)
    losses = ctc_loss(logits, targets, inputs, lengths, blank=blank, reduction=reduction, dlogits=dlogits)
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    wanted = torch.nn.functional.ctc_loss(
        x.log_softmax(-1), torch.tensor(np.maximum(targets, 0)), torch.tensor(inputs), torch.tensor(lengths),
        blank=blank, reduction=reduction,
    )  # fmt: skip
    wanted.sum().backward()
    tolerance = 1e-5 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(losses, wanted.detach().numpy(), rtol=tolerance)
    np.testing.assert_allclose(dlogits, x.grad.numpy(), atol=tolerance)


def test_the_same_bits_for_any_number_of_threads():
    logits, targets, inputs, lengths = some(65, 17, 33, 9, np.float32)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        dlogits = np.empty_like(logits)
        losses = ctc_loss(logits, targets, inputs, lengths, reduction="none", dlogits=dlogits)
        results.append((losses.tobytes(), dlogits.tobytes()))
    assert results[0] == results[1] == results[2]


def test_what_stands_beyond_the_lengths_does_not_matter():
    logits, targets, inputs, lengths = some(17, 5, 4, 6)
    loss = ctc_loss(logits, targets, inputs, lengths, reduction="none")
    for row in range(5):
        logits[inputs[row] :, row] = np.nan
        targets[row, lengths[row] :] = 10**9
    dlogits = np.empty_like(logits)
    np.testing.assert_array_equal(ctc_loss(logits, targets, inputs, lengths, reduction="none", dlogits=dlogits), loss)
    for row in range(5):
        assert (dlogits[inputs[row] :, row] == 0).all()
        alone = ctc_loss(
            np.ascontiguousarray(logits[: inputs[row], row : row + 1]), targets[row : row + 1, : lengths[row]].copy()
        )
        assert alone * max(lengths[row], 1) == pytest.approx(loss[row], rel=1e-12)


def test_log_probabilities_are_as_good_as_logits():
    logits, targets, inputs, lengths = some(17, 5, 4, 6)
    assert ctc_loss(log_softmax(logits), targets, inputs, lengths) == pytest.approx(
        ctc_loss(logits, targets, inputs, lengths), rel=1e-12
    )


def test_a_row_that_can_not_be_aligned():
    """Two equal labels need three steps; the row beside it is what it was."""
    logits = np.random.default_rng(0).standard_normal((2, 2, 3))
    targets, dlogits = np.array([[1, 1], [1, 2]]), np.empty_like(logits)
    losses = ctc_loss(logits, targets, reduction="none", dlogits=dlogits)
    assert losses[0] == np.inf
    assert np.isfinite(losses[1])
    assert np.isnan(dlogits[:, 0]).all()
    other = dlogits[:, 1].copy()
    assert ctc_loss(logits, targets, reduction="none", dlogits=dlogits, zero_infinity=True).tolist() == [0, losses[1]]
    assert (dlogits[:, 0] == 0).all()
    np.testing.assert_array_equal(dlogits[:, 1], other)
    no_steps = np.array([0, 2])
    assert ctc_loss(logits, targets, no_steps, reduction="none")[0] == np.inf
    assert ctc_loss(logits, targets, no_steps, np.array([0, 2]), reduction="none")[0] == 0


def test_extreme_scores():
    logits = np.array([[[-3e38, 3e38, 0]], [[3e38, -3e38, 0]]], np.float32)
    dlogits = np.empty_like(logits)
    assert ctc_loss(logits, np.array([[1]]), dlogits=dlogits) == 0
    assert (dlogits == 0).all()
    masked = np.array([[[0, -np.inf, 0.0]], [[0, 0, -np.inf]]])
    dlogits = np.empty_like(masked)
    assert ctc_loss(masked, np.array([[1]]), dlogits=dlogits) == pytest.approx(np.log(4))
    assert np.isfinite(dlogits).all()


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_shows_in_the_loss(bad, zero_infinity):
    for place in range(5):
        logits = np.zeros((3, 1, 5))
        logits[1, 0, place] = bad
        dlogits = np.zeros_like(logits)
        assert np.isnan(ctc_loss(logits, np.array([[1]]), dlogits=dlogits, zero_infinity=zero_infinity)), place
        assert np.isnan(dlogits).any(), place


BAD = {
    "targets: expected labels other than the blank, 0": {"targets": np.array([[1, 0]])},
    "targets: expected indices from 0 to 2, got 3": {"targets": np.array([[1, 3]])},
    "targets: expected": {"targets": np.array([1, 2])},
    "input_lengths: expected indices from 0 to 4, got 5": {"input_lengths": np.array([5])},
    "target_lengths: expected 1 elements, got 2": {"target_lengths": np.array([1, 1])},
    "blank: expected at most 2": {"blank": 3},
    'reduction: expected "mean", "sum" or "none", got \'all\'': {"reduction": "all"},
    "dlogits: expected a float64 array": {"dlogits": np.zeros((4, 1, 3), np.float32)},
    "scale: expected a finite number": {"scale": np.nan},
    "logits: expected a float64 array": {"logits": np.zeros((4, 3))},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    arguments = {"logits": np.zeros((4, 1, 3)), "targets": np.array([[1, 2]]), **BAD[message]}
    with pytest.raises((TypeError, ValueError, IndexError), match="^" + message):
        ctc_loss(**arguments)


def test_the_gradient_is_apart_from_the_logits():
    logits = np.zeros((4, 1, 3))
    with pytest.raises(ValueError, match="dlogits: expected an array apart from logits"):
        ctc_loss(logits, np.array([[1]]), dlogits=logits)
