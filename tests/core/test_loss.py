"""Softmax cross-entropy: values, gradients, extremes."""

import numpy as np
import pytest

from tests.reference import cross_entropy, numerical_gradient, relative_error
from textgru.core import set_num_threads, softmax_cross_entropy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 3, 17, 65])
@pytest.mark.parametrize("vocabulary", [1, 3, 17, 65, 1000])
@pytest.mark.parametrize("threads", [1, 3])
def test_losses_and_gradients(threads, vocabulary, rows, dtype):
    set_num_threads(threads)
    rng = np.random.default_rng(0)
    logits = (4 * rng.standard_normal((rows, vocabulary))).astype(dtype)
    targets = rng.integers(0, vocabulary, rows)
    dlogits = np.empty_like(logits)
    losses = softmax_cross_entropy(logits, targets, dlogits=dlogits, scale=0.5)
    wide = logits.astype(np.float64)
    softmax = np.exp(wide - wide.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    onehot = np.eye(vocabulary)[targets]
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(losses, cross_entropy(wide, targets), atol=10 * tolerance)
    np.testing.assert_allclose(dlogits, 0.5 * (softmax - onehot), atol=tolerance)
    np.testing.assert_allclose(softmax_cross_entropy(logits, targets), losses, atol=10 * tolerance)


def test_gradient_against_differences():
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((5, 7)), rng.integers(0, 7, 5)
    dlogits = np.empty_like(logits)
    softmax_cross_entropy(logits, targets, dlogits=dlogits)
    wanted = numerical_gradient(lambda: softmax_cross_entropy(logits, targets).sum(), logits)
    assert relative_error(dlogits, wanted) < 1e-6


def test_golden_vectors_of_pytorch(golden):
    logits, targets = golden["cross_entropy.logits"], golden["cross_entropy.targets"].astype(np.intp)
    dlogits = np.empty_like(logits)
    losses = softmax_cross_entropy(logits, targets, dlogits=dlogits, scale=1 / len(targets))
    np.testing.assert_allclose(losses, golden["cross_entropy.losses"], atol=1e-5)
    np.testing.assert_allclose(dlogits, golden["cross_entropy.dlogits"], atol=1e-6)


def test_huge_scores_do_not_overflow():
    logits = np.array([[1e4, -1e4, 0], [-3e38, 3e38, 0]], np.float32)
    np.testing.assert_allclose(softmax_cross_entropy(logits, np.array([0, 1])), [0, 0], atol=1e-6)
    assert softmax_cross_entropy(logits, np.array([1, 1]))[0] == pytest.approx(2e4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_shows_in_the_loss(bad):
    for place in range(20):
        logits = np.zeros((1, 20), np.float32)
        logits[0, place] = bad
        assert not np.isfinite(softmax_cross_entropy(logits, np.array([3]))[0]), place


def test_bad_input_is_named():
    logits = np.zeros((2, 3), np.float32)
    with pytest.raises(IndexError, match="targets: expected indices from 0 to 2, got 3"):
        softmax_cross_entropy(logits, np.array([0, 3]))
    with pytest.raises(ValueError, match="targets: "):
        softmax_cross_entropy(logits, np.array([0, 1, 2]))
    with pytest.raises(TypeError, match="dlogits: "):
        softmax_cross_entropy(logits, np.array([0, 1]), dlogits=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="dlogits: expected an array apart from logits"):
        softmax_cross_entropy(logits, np.array([0, 1]), dlogits=logits)
    with pytest.raises(ValueError, match="scale: expected a finite number"):
        softmax_cross_entropy(logits, np.array([0, 1]), scale=np.inf)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ignore_index", [-100, 0, 4])
def test_ignored_targets_cost_nothing(ignore_index, dtype):
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((17, 5)).astype(dtype), rng.integers(0, 5, 17)
    targets[::3] = ignore_index
    kept = targets != ignore_index
    logits[~kept] = np.nan
    dlogits = np.full_like(logits, np.nan)
    losses = softmax_cross_entropy(logits, targets, dlogits=dlogits, scale=1 / kept.sum(), ignore_index=ignore_index)
    alone = np.empty((kept.sum(), 5), dtype)
    wanted = softmax_cross_entropy(logits[kept], targets[kept], dlogits=alone, scale=1 / kept.sum())
    np.testing.assert_array_equal(losses[kept], wanted)
    np.testing.assert_array_equal(dlogits[kept], alone)
    assert (losses[~kept] == 0).all()
    assert (dlogits[~kept] == 0).all()
    torch = pytest.importorskip("torch")
    x = torch.tensor(np.nan_to_num(logits), requires_grad=True)
    mean = torch.nn.functional.cross_entropy(x, torch.tensor(targets), ignore_index=ignore_index)
    mean.backward()
    assert losses.sum() / kept.sum() == pytest.approx(mean.item(), rel=1e-6)
    np.testing.assert_allclose(dlogits, x.grad.numpy(), atol=1e-7)


def test_only_the_ignored_index_may_be_outside():
    logits = np.zeros((2, 3), np.float32)
    assert softmax_cross_entropy(logits, np.array([-100, -100])).tolist() == [0, 0]
    with pytest.raises(IndexError, match="targets: expected indices from 0 to 2, got -1"):
        softmax_cross_entropy(logits, np.array([0, -1]))
    with pytest.raises(IndexError, match="targets: expected indices from 0 to 2, got -100"):
        softmax_cross_entropy(logits, np.array([0, -100]), ignore_index=1)
    with pytest.raises(TypeError, match="ignore_index: expected an integer"):
        softmax_cross_entropy(logits, np.array([0, 1]), ignore_index=None)
