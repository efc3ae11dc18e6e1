"""Muon against the formula in NumPy, and PyTorch's where it is installed."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from tests.reference import adamw
from textgru.core import GRU, AdamW, Linear, Muon, flatten, set_num_threads

A, B, C = 3.4445, -4.7750, 2.0315


def orthogonal(u, steps):
    x = u / max(np.linalg.norm(u), 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x


def layer(rows, columns, dtype):
    linear = Linear(columns, rows, dtype=dtype, seed=1)
    return linear, flatten({"linear": linear})


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-11), (np.float32, 2e-4)])
@pytest.mark.parametrize(("rows", "columns", "gates"), [(1, 1, 1), (3, 17, 3), (65, 3, 1), (51, 65, 3), (195, 64, 3)])
def test_equals_the_formula(rows, columns, gates, dtype, close, threads):
    set_num_threads(threads)
    linear, parameters = layer(rows, columns, dtype)
    optimizer = Muon(
        parameters, 0.02, (0.8, 0.95), 1e-6, 0.1, matrices={"linear.weight": gates}, momentum=0.7, ns_steps=4, rms=0.4
    )
    weight, bias = linear.parameters["weight"].astype(np.float64), linear.parameters["bias"].astype(np.float64)
    m, moments, rng = np.zeros_like(weight), (np.zeros_like(bias), np.zeros_like(bias)), np.random.default_rng(0)
    for step in range(1, 4):
        for gradient in linear.gradients.values():
            gradient[...] = rng.standard_normal(gradient.shape)
        g = 0.5 * linear.gradients["weight"].astype(np.float64)
        m = 0.7 * m + 0.3 * g
        u = 0.7 * m + 0.3 * g
        for block, part in zip(np.split(weight, gates), np.split(u, gates), strict=True):
            block *= 1 - 0.03 * 0.1
            block -= 0.03 * 0.4 * max(part.shape) ** 0.5 * orthogonal(part, 4)
        bias, *moments = adamw(
            bias, 0.5 * linear.gradients["bias"].astype(np.float64), *moments, step, lr=0.03, betas=(0.8, 0.95),
            eps=1e-6, weight_decay=0.0,
        )  # fmt: skip
        optimizer.step(lr=0.03, gradient_scale=0.5)
    np.testing.assert_allclose(linear.parameters["weight"], weight, atol=close)
    np.testing.assert_allclose(linear.parameters["bias"], bias, atol=close)
    np.testing.assert_allclose(parameters.views(optimizer.exp_avg)["linear.weight"], m, atol=close)
    assert optimizer.steps == 3


@pytest.mark.parametrize("period", [2, 3])
def test_a_direction_is_used_again(period):
    """Block by block, each at steps of its own; momentum is kept up all the while."""
    linear, parameters = layer(9, 5, np.float64)
    optimizer = Muon(
        parameters, 0.01, weight_decay=0.0, matrices={"linear.weight": 3}, momentum=0.7, rms=1.0, period=period
    )
    weight, m, rng = linear.parameters["weight"].copy(), np.zeros((9, 5)), np.random.default_rng(0)
    directions = np.zeros((9, 5))
    for step in range(1, 9):
        g = linear.gradients["weight"][...] = rng.standard_normal((9, 5))
        m = 0.7 * m + 0.3 * g
        for block in range(3):
            rows = slice(3 * block, 3 * block + 3)
            if step == 1 or (step + block) % period == 0:
                directions[rows] = orthogonal(0.7 * m[rows] + 0.3 * g[rows], 3)
        weight -= 0.01 * 5**0.5 * directions
        if step == 5:
            optimizer = pickle.loads(pickle.dumps((optimizer, linear)))
            optimizer, linear = optimizer
            linear.gradients["weight"][...] = g
        optimizer.step()
        np.testing.assert_allclose(linear.parameters["weight"], weight, atol=1e-12)


class Neighbour:
    """One of several that exchange directions, each in a thread of its own."""

    def __init__(self, number, everyone, together):
        self.number, self.count = number, len(everyone)
        self.everyone, self.together, self.own = everyone, together, []

    def exchange(self, arrays):
        self.everyone[self.number] = [array.copy() for array in arrays]
        self.together.wait(60)
        for i, array in enumerate(arrays):
            theirs = self.everyone[i % self.count][i]
            self.own.append(np.array_equal(array, theirs))
            array[...] = theirs
        self.together.wait(60)


@pytest.mark.parametrize("period", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_neighbours_share_the_directions(count, period):
    """The same bits as by one alone; each computes only its share."""
    gates, size, steps = 3, 17, 4

    def trained(neighbours):
        gru = GRU(size, size, seed=0)
        parameters = flatten({"gru": gru})
        optimizer = Muon(
            parameters, matrices={"gru.weight_ih_l0": gates, "gru.weight_hh_l0": gates}, period=period,
            kernels="packed", neighbours=neighbours,
        )  # fmt: skip
        rng = np.random.default_rng(3)
        for _ in range(steps):
            parameters.gradients[...] = rng.standard_normal(parameters.gradients.size)
            optimizer.step()
        return parameters.values

    alone = trained(None)
    everyone, together = [[]] * count, Barrier(count)
    neighbours = [Neighbour(number, everyone, together) for number in range(count)]
    with ThreadPoolExecutor(count) as pool:
        for values in pool.map(trained, neighbours):
            np.testing.assert_array_equal(values, alone)
    directions = 2 * gates * (1 + (steps - 1) / period)  # all at the first step
    assert sum(sum(neighbour.own) for neighbour in neighbours) == directions
    most, least = (f(sum(neighbour.own) for neighbour in neighbours) for f in (max, min))
    assert most - least <= steps


def test_every_direction_is_learned_at_the_same_pace():
    """However unlike the singular values of a gradient, those of the update are near one another."""
    linear, parameters = layer(65, 65, np.float64)
    before = linear.parameters["weight"].copy()
    left, right = (np.linalg.qr(np.random.default_rng(seed).standard_normal((65, 65)))[0] for seed in (1, 2))
    linear.gradients["weight"][...] = left * np.geomspace(1, 0.05, 65) @ right
    Muon(parameters, 1.0, weight_decay=0.0, matrices={"linear.weight": 1}, ns_steps=5, rms=65**-0.5).step()
    found = np.linalg.svd(before - linear.parameters["weight"], compute_uv=False)
    assert found.max() < 1.3
    assert found.min() > 0.6


@pytest.mark.parametrize("gates", [1, 3])
def test_the_same_bits_for_any_thread_count(gates):
    found = set()
    for threads in (1, 2, 5):
        set_num_threads(threads)
        linear, parameters = layer(192, 130, np.float32)
        parameters.gradients[...] = np.random.default_rng(3).standard_normal(parameters.gradients.size)
        Muon(parameters, matrices={"linear.weight": gates}, kernels="packed").step()
        found.add(linear.parameters["weight"].tobytes())
    assert len(found) == 1


def test_without_matrices_it_is_adamw():
    first, second = layer(17, 65, np.float32), layer(17, 65, np.float32)
    for optimizer in (Muon(first[1], 0.01, matrices={}), AdamW(second[1], 0.01)):
        optimizer.parameters.gradients[...] = np.random.default_rng(3).standard_normal(
            optimizer.parameters.gradients.size
        )
        optimizer.step()
    np.testing.assert_array_equal(first[1].values, second[1].values)


def test_no_gradient_is_no_direction():
    linear, parameters = layer(17, 3, np.float32)
    before = parameters.values.copy()
    Muon(parameters, weight_decay=0.0, matrices={"linear.weight": 1}).step()
    np.testing.assert_array_equal(parameters.values, before)
    linear.gradients["weight"][...] = 1e-30
    Muon(parameters, weight_decay=0.0, matrices={"linear.weight": 1}).step()
    assert np.isfinite(parameters.values).all()


def test_copies_have_moments_of_their_own():
    gru = GRU(3, 17, seed=0)
    optimizer = Muon(flatten({"gru": gru}), matrices={"gru.weight_hh_l0": 3, "gru.weight_ih_l0": 3})
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        for one in (optimizer, other):
            one.parameters.gradients[...] = np.random.default_rng(3).standard_normal(one.parameters.gradients.size)
        other.step()
        assert not optimizer.exp_avg.any()
        assert other.matrices == optimizer.matrices
    kept = copy.deepcopy(optimizer)
    kept.step()
    optimizer.step()
    np.testing.assert_array_equal(kept.parameters.values, optimizer.parameters.values)


def test_what_can_not_be_is_named():
    gru = GRU(3, 17, seed=0)
    parameters = flatten({"gru": gru})
    for matrices, message in (
        ({"weight": 1}, "'weight' is no matrix"),
        ({"gru.bias_ih_l0": 1}, "'gru.bias_ih_l0' is no matrix"),
        ({"gru.weight_ih_l0": 4}, "51 rows of 'gru.weight_ih_l0' are no 4 equal blocks"),
        ({"gru.weight_ih_l0": 0}, "gru.weight_ih_l0: expected at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            Muon(parameters, matrices=matrices)
    with pytest.raises(TypeError, match="matrices: expected a mapping"):
        Muon(parameters, matrices=["gru.weight_ih_l0"])
    for name, value in (
        ("momentum", 1.0),
        ("ns_steps", 0),
        ("rms", -1.0),
        ("momentum", "x"),
        ("rms", float("nan")),
        ("period", 0),
    ):
        with pytest.raises((TypeError, ValueError), match=f"{name}: expected"):
            Muon(parameters, matrices={}, **{name: value})
        optimizer = Muon(parameters, matrices={"gru.weight_hh_l0": 3})
        before = parameters.values.copy()
        parameters.gradients[...] = 1
        setattr(optimizer, name, value)
        with pytest.raises((TypeError, ValueError), match=f"{name}: expected"):
            optimizer.step()
        np.testing.assert_array_equal(parameters.values, before)
    with pytest.raises(ValueError, match="names: 'x' is none of the parameters"):
        AdamW(parameters, names=["x"])


def test_it_is_what_pytorch_says():
    """PyTorch multiplies in bfloat16, which shows in the third digit."""
    torch = pytest.importorskip("torch")
    linear, parameters = layer(65, 130, np.float32)
    weight = torch.nn.Parameter(torch.tensor(linear.parameters["weight"]))
    theirs = torch.optim.Muon([weight], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    ours = Muon(parameters, 0.02, weight_decay=0.1, matrices={"linear.weight": 1}, momentum=0.95, ns_steps=5, rms=0.2)
    before = linear.parameters["weight"].copy()
    rng = np.random.default_rng(0)
    for _ in range(3):
        linear.gradients["weight"][...] = rng.standard_normal((65, 130))
        weight.grad = torch.tensor(linear.gradients["weight"])
        theirs.step()
        ours.step()
    moved, apart = linear.parameters["weight"] - before, linear.parameters["weight"] - weight.detach().numpy()
    assert np.abs(apart).max() < 0.02 * np.abs(moved).max()
