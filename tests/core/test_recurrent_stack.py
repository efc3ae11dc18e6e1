"""Lengths, both directions, batch first, dropout, residual connections and layer norm: the same as PyTorch where it
has them, finite differences where it has not."""

import copy
import pickle
import threading

import numpy as np
import pytest

from tests.core.cells import arrays_of, every_kind, make, numbers
from tests.reference import numerical_gradient, relative_error
from textgru.core import GRU, LSTM, flatten, get_num_threads, set_num_threads
from textgru.core.products import set_product_kernels

NAMES = {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}


def case(seed):
    """A random configuration, the same for the same seed."""
    rng = np.random.default_rng(seed)
    batch, seq = int(rng.choice([1, 2, 3, 17, 35])), int(rng.integers(1, 9))
    settings = {
        "input_size": int(rng.integers(1, 8)),
        "hidden_size": int(rng.choice([1, 3, 8, 17])),
        "num_layers": int(rng.integers(1, 4)),
        "bias": bool(rng.integers(2)),
        "batch_first": bool(rng.integers(2)),
        "bidirectional": bool(rng.integers(2)),
    }
    lengths = rng.integers(1, seq + 1, batch) if rng.integers(3) else None
    kind, dtype = rng.choice(["gru", "lstm", "rnn"]), rng.choice([np.float32, np.float64])
    return rng, str(kind), dtype, settings, seq, batch, lengths


def both(settings, seq, batch, width, rng, dtype):
    """x or dy (T, B, width), or batch first."""
    shape = (batch, seq, width) if settings["batch_first"] else (seq, batch, width)
    return rng.standard_normal(shape).astype(dtype)


def by_torch(torch, layer, kind, settings, x, h_0, lengths, dy, dh_n):
    """What PyTorch gives for the same, by name."""
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional")
    module = getattr(torch.nn, NAMES[kind])(
        **{name: settings[name] for name in names}, dtype=torch.float64 if x.dtype == np.float64 else torch.float32
    )
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in layer.parameters.items()})
    given = torch.from_numpy(x.copy()).requires_grad_()
    first = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays_of(h_0)]
    source, time = given, 1 if settings["batch_first"] else 0
    if lengths is not None:
        source = torch.nn.utils.rnn.pack_padded_sequence(
            given, torch.from_numpy(lengths), settings["batch_first"], enforce_sorted=False
        )
    y, last = module(source, tuple(first) if len(first) > 1 else first[0])
    if lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, settings["batch_first"], total_length=x.shape[time])
    last = last if isinstance(last, tuple) else (last,)
    loss = (y * torch.from_numpy(dy)).sum()
    for array, weight in zip(last, arrays_of(dh_n), strict=True):
        loss = loss + (array * torch.from_numpy(weight)).sum()
    loss.backward()
    found = {"y": y, "dx": given.grad}
    found |= {f"last {i}": array for i, array in enumerate(last)}
    found |= {f"d first {i}": array.grad for i, array in enumerate(first)}
    found |= {name: value.grad for name, value in module.named_parameters()}
    return {name: value.detach().numpy() for name, value in found.items()}


def ours(layer, x, h_0, lengths, dy, dh_n):
    y, last = layer.forward(x, h_0, lengths=lengths)
    dx, first = layer.backward(dy, dh_n)
    found = {"y": y, "dx": dx, **layer.gradients}
    found |= {f"last {i}": array for i, array in enumerate(arrays_of(last))}
    return found | {f"d first {i}": array for i, array in enumerate(arrays_of(first))}


def states_for(layer, batch, rng):
    directions = 1 + layer.bidirectional
    shape = (layer.num_layers * directions, batch, layer.hidden_size)
    arrays = tuple(rng.standard_normal(shape).astype(layer.dtype) for _ in layer.cell.states)
    return arrays if len(arrays) > 1 else arrays[0]


def differences(torch, seed):
    """Name -> the largest difference to PyTorch's, as a share of the largest number (at least 1) and of what is
    allowed: of outputs, last states and all gradients of a random configuration."""
    rng, kind, dtype, settings, seq, batch, lengths = case(seed)
    layer = make(kind, **settings, dtype=dtype, seed=seed)
    width = settings["hidden_size"] * (1 + settings["bidirectional"])
    x = both(settings, seq, batch, settings["input_size"], rng, dtype)
    dy = both(settings, seq, batch, width, rng, dtype)
    h_0, dh_n = states_for(layer, batch, rng), states_for(layer, batch, rng)
    wanted = by_torch(torch, layer, kind, settings, x, h_0, lengths, dy, dh_n)
    got = ours(layer, x, h_0, lengths, dy, dh_n)
    assert got.keys() == wanted.keys()
    allowed = 1e-5 if dtype == np.float32 else 1e-10
    return {
        name: np.abs(got[name] - array).max() / max(1, np.abs(array).max()) / allowed for name, array in wanted.items()
    }


@pytest.mark.parametrize("seed", range(40))
def test_random_configurations_agree_with_pytorch(seed):
    """python -m benchmarks.recurrent_parity tries 500."""
    torch = pytest.importorskip("torch")
    assert max(differences(torch, seed).values()) < 1


@every_kind
@pytest.mark.parametrize("lengths", [None, [2, 4, 1]])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_of_residual_and_layer_norm_are_those_of_finite_differences(kind, lengths, bidirectional):
    layer = make(
        kind, 4, 4, 3, residual=True, layer_norm=True, bidirectional=bidirectional, dropout=0.3,
        variational_dropout=bidirectional, weight_dropout=0.2, dtype=np.float64, seed=0,
    )  # fmt: skip
    for name, array in layer.parameters.items():
        if name.startswith("norm_"):
            array += 0.1 * numbers(array.shape, 9)
    x = numbers((4, 3, 4), 1)
    rng = np.random.default_rng(2)
    h_0, dh_n = states_for(layer, 3, rng), states_for(layer, 3, rng)
    dy = numbers((4, 3, 4 * (1 + bidirectional)), 3)

    def loss():
        layer.dropout_rng = np.random.default_rng(5)
        y, last = layer.forward(x, h_0, lengths=lengths)
        pairs = zip(arrays_of(last), arrays_of(dh_n), strict=True)
        return (y * dy).sum() + sum((array * weight).sum() for array, weight in pairs)

    loss()
    dx, first = layer.backward(dy, dh_n)
    checked = [(x, dx), *zip(arrays_of(h_0), arrays_of(first), strict=True)]
    for name in ("weight_ih_l0", "weight_hh_l1", "bias_hh_l2", "norm_weight_l0", "norm_bias_l1"):
        checked.append((layer.parameters[name], layer.gradients[name].copy()))
    for array, gradient in checked:
        assert relative_error(gradient, numerical_gradient(loss, array)) < 1e-6


def test_lengths_with_the_reset_before_the_product_have_the_gradients_of_finite_differences():
    gru = GRU(3, 5, 2, reset_after=False, dtype=np.float64, seed=0)
    x, dy, dh_n = numbers((6, 3, 3), 1), numbers((6, 3, 5), 2), numbers((2, 3, 5), 3)

    def loss():
        y, last = gru.forward(x, lengths=[3, 6, 1])
        return (y * dy).sum() + (last * dh_n).sum()

    loss()
    dx, _ = gru.backward(dy, dh_n)
    gradient = gru.gradients["weight_hh_l0"].copy()
    assert relative_error(dx, numerical_gradient(loss, x)) < 1e-6
    assert relative_error(gradient, numerical_gradient(loss, gru.parameters["weight_hh_l0"])) < 1e-6


@every_kind
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("hidden", [65, 128])
def test_a_row_with_a_length_is_as_it_is_alone(kind, precision, hidden):
    layer = make(kind, 8, hidden, 2, precision=precision, seed=0)
    x = numbers((9, 48, 8), 1, np.float32)
    lengths = np.random.default_rng(0).integers(1, 10, 48)
    y, last = layer.forward(x, lengths=lengths)
    for b in (0, 17, 47):
        n = lengths[b]
        alone, end = layer.forward(np.ascontiguousarray(np.repeat(x[:n, b : b + 1], 48, axis=1)))
        tolerance = 2e-2 if precision == "bf16" else 1e-5
        np.testing.assert_allclose(y[:n, b], alone[:, 0], atol=tolerance)
        np.testing.assert_allclose(arrays_of(last)[0][:, b], arrays_of(end)[0][:, 0], atol=tolerance)
        assert not y[n:, b].any()


@every_kind
def test_lengths_give_the_same_bits_for_any_number_of_threads(kind):
    set_product_kernels("packed")
    layer = make(kind, 16, 192, 1, seed=0)
    x, dy = numbers((20, 40, 16), 1, np.float32), numbers((20, 40, 192), 2, np.float32)
    lengths = np.random.default_rng(0).integers(1, 21, 40)
    before, results = get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            results.append({k: np.array(v) for k, v in ours(layer, x, None, lengths, dy, None).items()})
    finally:
        set_num_threads(before)
    for other in results[1:]:
        for name, array in results[0].items():
            np.testing.assert_array_equal(other[name], array, name)


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_what_stands_after_a_rows_end_is_not_looked_at(value):
    lengths = np.array([2, 5])
    for settings in ({}, {"bidirectional": True}, {"residual": True, "layer_norm": True}):
        gru = GRU(4, 4, 2, seed=0, **settings)
        x = numbers((5, 2, 4), 1, np.float32)
        y, last = gru.forward(x, lengths=lengths)
        dx, _ = gru.backward(np.ones_like(y))
        spoiled, dy = x.copy(), np.ones_like(y)
        spoiled[2:, 0] = dy[2:, 0] = value
        again, last_again = gru.forward(spoiled, lengths=lengths)
        dx_again, _ = gru.backward(dy)
        for one, other in ((y, again), (last, last_again), (dx, dx_again)):
            np.testing.assert_array_equal(one, other)
        assert not dx_again[2:, 0].any()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_looking_up_is_the_same_as_rows(bidirectional, batch_first):
    lstm = LSTM(5, 7, 2, bidirectional=bidirectional, batch_first=batch_first, dtype=np.float64, seed=0)
    table, index = numbers((11, 5), 1), np.random.default_rng(0).integers(0, 11, (6, 4))
    lengths = np.array([1, 6, 3, 2] if not batch_first else [4, 1, 2, 3, 4, 1])
    y, _ = lstm.forward(table[index], lengths=lengths)
    dx, _ = lstm.backward(np.ones_like(y))
    looked_up, _ = lstm.forward_lookup(table, index, lengths=lengths)
    dtable, _ = lstm.backward(np.ones_like(y))
    np.testing.assert_allclose(looked_up, y, atol=1e-12)
    wanted = np.zeros_like(table)
    np.add.at(wanted, index, dx)
    np.testing.assert_allclose(dtable, wanted, atol=1e-12)


def test_a_variational_mask_holds_for_all_steps_of_a_row():
    gru = GRU(3, 32, 2, dropout=0.5, variational_dropout=True, seed=0)
    gru.forward(numbers((4, 3, 3), 1, np.float32), lengths=[4, 2, 3])
    h = gru._workspace.get("dropped_l0", 9, 32)
    # Rows by length: 0, 2, 1; row 0 stands first at steps 0 to 3.
    zero = [h[at] == 0 for at in (0, 3, 6, 8)]
    assert zero[0].any()
    assert not zero[0].all()
    assert all((zero[0] == other).all() for other in zero)
    assert (zero[0] != (h[1] == 0)).any()


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1, 2], "one for each of the 3 rows"),
        ([1, 2, 6], "from 1 to the 5 steps, got 6"),
        ([0, 2, 5], "from 1 to the 5 steps, got 0"),
        ([1.0, 2.0, 3.0], "expected integers, got float64"),
    ],
)
def test_lengths_that_cannot_be_are_refused(lengths, message):
    with pytest.raises((TypeError, ValueError), match=message):
        GRU(4, 4, seed=0).forward(numbers((5, 3, 4), 1, np.float32), lengths=lengths)


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_has_settings_and_weights_of_its_own(make_copy):
    gru = GRU(4, 4, 2, bidirectional=True, batch_first=True, residual=True, reset_after=False, seed=0)
    other = make_copy(gru)
    x = numbers((3, 5, 4), 1, np.float32)
    y, _ = gru.forward(x)
    np.testing.assert_array_equal(other.forward(x)[0], y)
    other.parameters["weight_hh_l1_reverse"][...] = 0
    np.testing.assert_array_equal(gru.forward(x)[0], y)
    assert (other.forward(x)[0] != y).any()


def test_a_flattened_stack_uses_the_flat_array():
    gru = GRU(4, 4, bidirectional=True, seed=0)
    x = numbers((3, 5, 4), 1, np.float32)
    parameters = flatten({"gru": gru})
    parameters.values[...] = 0
    assert not gru.forward(x)[0].any()
    gru.backward(np.ones((3, 5, 8), np.float32))
    assert parameters.gradients.any()


def test_a_second_thread_in_a_layer_is_refused():
    gru = GRU(4, 4, seed=0)
    x = numbers((3, 5, 4), 1, np.float32)
    inside, go_on = threading.Event(), threading.Event()

    class Slow:
        """A generator of masks that waits inside the forward pass."""

        def integers(self, *arguments):
            inside.set()
            go_on.wait(30)
            return np.zeros(0, np.uint64)

    gru.dropout, gru.dropout_rng = 0.5, Slow()
    thread = threading.Thread(target=gru.forward, args=(x,))
    thread.start()
    try:
        assert inside.wait(30)
        with pytest.raises(RuntimeError, match="GRU.forward: another thread is using this object"):
            gru.forward(x, training=False)
    finally:
        go_on.set()
        thread.join()
    gru.forward(x, training=False)
