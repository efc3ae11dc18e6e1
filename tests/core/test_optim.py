"""AdamW and clipping, against the formula and PyTorch's golden vectors."""

import numpy as np
import pytest

from tests.reference import adamw
from textgru.core import AdamW, Linear, clip_grad_norm, flatten, gradient_norm, set_num_threads
from textgru.core.optim import lerp


def linear_parameters(inputs=17, outputs=65, dtype=np.float64):
    linear = Linear(inputs, outputs, dtype=dtype, seed=1)
    return linear, flatten({"linear": linear})


@pytest.mark.parametrize("threads", [1, 3])
def test_equals_the_formula_and_decays_matrices_only(threads):
    set_num_threads(threads)
    linear, parameters = linear_parameters(300, 200)
    optimizer = AdamW(parameters, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    rng = np.random.default_rng(0)
    wanted = {name: array.copy() for name, array in linear.parameters.items()}
    moments = {name: (np.zeros_like(array), np.zeros_like(array)) for name, array in wanted.items()}
    for step in range(1, 4):
        for name, gradient in linear.gradients.items():
            gradient[...] = rng.standard_normal(gradient.shape)
            decay = 0.1 if name == "weight" else 0.0
            w, m, v = adamw(wanted[name], 0.5 * gradient, *moments[name], step, lr=0.01, betas=(0.8, 0.95), eps=1e-6,
                            weight_decay=decay)  # fmt: skip
            wanted[name], moments[name] = w, (m, v)
        optimizer.step(gradient_scale=0.5)
    for name, array in wanted.items():
        np.testing.assert_allclose(linear.parameters[name], array, rtol=1e-12, atol=1e-15, err_msg=name)


def test_golden_vectors_of_pytorch(golden):
    linear = Linear(3, 17, bias=False, seed=0)
    parameters = flatten({"linear": linear})
    weight = linear.parameters["weight"]
    weight[...] = golden["adamw.start"]
    optimizer = AdamW(parameters, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    for step in range(3):
        linear.gradients["weight"][...] = golden[f"adamw.gradient{step}"]
        optimizer.step()
        np.testing.assert_allclose(weight, golden[f"adamw.weight{step}"], rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norm_and_clipping(dtype, threads):
    set_num_threads(threads)
    linear, parameters = linear_parameters(300, 200, dtype)
    rng = np.random.default_rng(0)
    for gradient in linear.gradients.values():
        gradient[...] = rng.standard_normal(gradient.shape)
    flat = np.concatenate([g.ravel() for g in linear.gradients.values()]).astype(np.float64)
    norm = np.sqrt((flat**2).sum())
    assert gradient_norm(parameters) == pytest.approx(norm, rel=1e-6)
    assert clip_grad_norm(parameters, 1e9) == pytest.approx(norm, rel=1e-6)
    assert gradient_norm(parameters) == pytest.approx(norm, rel=1e-6)
    assert clip_grad_norm(parameters, 2.0) == pytest.approx(norm, rel=1e-6)
    assert gradient_norm(parameters) == pytest.approx(2.0, rel=1e-5)


def test_the_norm_has_the_same_bits_for_any_thread_count():
    _, parameters = linear_parameters(300, 400, np.float32)
    parameters.gradients[...] = np.random.default_rng(0).standard_normal(parameters.gradients.shape)
    norms = set()
    for threads in (1, 2, 5):
        set_num_threads(threads)
        norms.add(gradient_norm(parameters))
    assert len(norms) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"lr": -1}, "lr"), ({"betas": (1.0, 0.9)}, "betas"), ({"eps": 0}, "eps"), ({"weight_decay": -1}, "weight_decay")],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        AdamW(linear_parameters()[1], **settings)
    with pytest.raises(ValueError, match="max_norm"):
        clip_grad_norm(linear_parameters()[1], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 3, 17, 65, 900_001])
def test_lerp(n, threads, dtype):
    set_num_threads(threads)
    x, y = (np.random.default_rng(seed).standard_normal(n).astype(dtype) for seed in (1, 2))
    wanted = y + 0.3 * (x - y)
    lerp(y, x, 0.3)
    np.testing.assert_allclose(y, wanted, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match=f"x: expected {n} elements, got {n + 1}"):
        lerp(y, np.zeros(n + 1, dtype), 0.3)


@pytest.mark.parametrize("name", ["lr", "eps", "weight_decay"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 10**400, 1j, "1", True, None, [1.0]], ids=str)
def test_settings_that_are_no_finite_numbers(name, bad):
    parameters = linear_parameters()[1]
    optimizer = AdamW(parameters)
    with pytest.raises((TypeError, ValueError), match=f"{name}: expected"):
        AdamW(parameters, **{name: bad})
    setattr(optimizer, name, bad)
    with pytest.raises((TypeError, ValueError), match=f"{name}: expected"):
        optimizer.step()
    with pytest.raises((TypeError, ValueError), match="gradient_scale: expected"):
        AdamW(parameters).step(gradient_scale=bad)


def test_eps_is_none_that_the_dtype_takes_for_zero():
    for dtype, small, fits in ((np.float32, 1e-46, 1.2e-38), (np.float32, 1e-40, 1e-37), (np.float64, 5e-324, 1e-46)):
        _, parameters = linear_parameters(dtype=dtype)
        with pytest.raises(ValueError, match="eps: expected a number from"):
            AdamW(parameters, eps=small)
        kept = parameters.values.copy()
        AdamW(parameters, eps=fits, weight_decay=0).step()  # all gradients are zero
        np.testing.assert_array_equal(parameters.values, kept)


def test_decay_may_be_set_later():
    linear, parameters = linear_parameters()
    optimizer = AdamW(parameters, lr=0.1, weight_decay=0)
    optimizer.weight_decay = 0.5
    wanted = linear.parameters["weight"] * (1 - 0.1 * 0.5)
    optimizer.step()
    np.testing.assert_allclose(linear.parameters["weight"], wanted)


def test_only_parameters_are_trained():
    for call in (AdamW, gradient_norm, lambda parameters: clip_grad_norm(parameters, 1.0)):
        with pytest.raises(TypeError, match="parameters: expected a textgru.core.Parameters, got dict"):
            call({})
