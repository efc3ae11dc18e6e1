"""The results of all cells: against the reference, golden vectors and PyTorch, for any threads and instruction set."""

import copy
import threading
import time

import numpy as np
import pytest

from tests.core.cells import arrays_of, every_cell, every_kind, make, numbers, run, run_numbers, state
from tests.reference import recurrent, relative_error
from textgru.core import GRU, LSTM, set_num_threads, simd
from textgru.core._support.dropout import dropout
from textgru.core.products import set_product_kernels

SIZES = [1, 3, 17, 65]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@every_kind
@both_dtypes
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("hidden", SIZES)
@pytest.mark.parametrize("batch", SIZES)
def test_forward_equals_reference(batch, hidden, threads, dtype, kind):
    set_num_threads(threads)
    layer = make(kind, 3, hidden, 2, dtype=dtype, seed=0)
    x, first = numbers((17, batch, 3), 1, dtype), state(layer, batch, 2)
    y, last = layer.forward(x, first)
    wanted_y, wanted = recurrent(kind, x, arrays_of(first), layer.parameters)
    assert y.dtype == dtype
    assert relative_error(y, wanted_y) < TOLERANCE[dtype]
    for got, array in zip(arrays_of(last), wanted, strict=True):
        assert got.dtype == dtype
        assert relative_error(got, array) < TOLERANCE[dtype]


@every_kind
@pytest.mark.parametrize("batch", [1, 3, 17, 65])
def test_float32_backward_equals_float64(batch, kind):
    """float64 is checked against differences; float32 has to agree with it."""
    results = {}
    for dtype in (np.float32, np.float64):
        gru = make(kind, 17, 65, 2, dtype=dtype, seed=0)
        results[dtype] = run_numbers(gru, 17, batch)
    for name, wanted in results[np.float64].items():
        assert relative_error(results[np.float32][name], wanted) < 1e-5, name


@every_kind
@pytest.mark.parametrize("batch", [1, 2, 3, 65])
@pytest.mark.parametrize("seq", [1, 17])
def test_threads_agree_within_rounding(seq, batch, kind):
    results = []
    for threads in (1, 2, 7):
        set_num_threads(threads)
        results.append(run_numbers(make(kind, 17, 65, 2, seed=0), seq, batch))
    for other in results[1:]:
        for name, wanted in results[0].items():
            assert relative_error(other[name], wanted) < 1e-5, name


@every_cell
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_same_threads_give_the_same_bits(threads, kind):
    set_num_threads(threads)
    first, second = (run_numbers(make(kind, 65, 129, 2, dropout=0.3, seed=9), 5, 40) for _ in range(2))
    for name, wanted in first.items():
        assert first[name].tobytes() == second[name].tobytes(), name
        assert np.isfinite(wanted).all()


@every_kind
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", [20, 33, 64])
def test_our_own_products_give_the_same_bits_for_any_threads(batch, precision, kind):
    set_product_kernels("packed")
    table, index = numbers((9, 17), 5, np.float32), np.random.default_rng(6).integers(0, 9, (20, batch))
    dy = numbers((20, batch, 65), 3, np.float32)
    results = []
    for threads in (1, 2, 3, 7):
        set_num_threads(threads)
        gru = make(kind, 17, 65, 2, dropout=0.2, precision=precision, seed=0)
        by_table = {"y": gru.forward_lookup(table, index)[0], "dtable": gru.backward(dy)[0]}
        by_table |= {name: array.copy() for name, array in gru.gradients.items()}
        results.append([by_table, run_numbers(gru, 20, batch)])
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            for name in wanted:
                assert got[name].tobytes() == wanted[name].tobytes(), name


@every_kind
@both_dtypes
@pytest.mark.parametrize("name", simd.supported_instruction_sets())
def test_every_instruction_set(name, dtype, kind):
    def results(instruction_set):
        simd.set_instruction_set(instruction_set)
        return [run_numbers(make(kind, 3, hidden, 1, dtype=dtype, seed=1), 5, 3) for hidden in SIZES]

    for got, wanted in zip(results(name), results("baseline"), strict=True):
        for key in wanted:
            assert relative_error(got[key], wanted[key]) < TOLERANCE[dtype], key


@every_cell
@pytest.mark.parametrize("name", simd.supported_instruction_sets())
@pytest.mark.parametrize("hidden", [64, 128, 192])
@pytest.mark.parametrize("batch", [1, 2, 5, 6, 7, 13, 50])
def test_our_own_product(batch, hidden, name, kind):
    """Whole blocks of 64 units and a long sequence: the packed product, at every number of rows in a tile."""
    simd.set_instruction_set(name)
    set_num_threads(2)
    results = {}
    for dtype in (np.float32, np.float64):  # float64 always takes the BLAS
        results[dtype] = run_numbers(make(kind, 5, hidden, 2, dtype=dtype, seed=0), 9, batch)
    for key, wanted in results[np.float64].items():
        assert relative_error(results[np.float32][key], wanted) < 1e-5, key


@every_kind
@pytest.mark.parametrize(("batch", "precision"), [(7, "fp32"), (33, "fp32"), (7, "bf16")])
def test_weights_that_stay_in_no_near_cache(batch, precision, kind):
    """And more units than a product takes at once: 1024, or 1024 pairs."""
    hidden, tolerance = (1030, 1e-5) if precision == "fp32" else (2050, 0.02)
    set_num_threads(2)
    set_product_kernels("packed")
    wanted = run_numbers(make(kind, 5, hidden, dtype=np.float64, seed=0), 2, batch)
    got = run_numbers(make(kind, 5, hidden, precision=precision, seed=0), 2, batch)
    for name in wanted:
        assert relative_error(got[name], wanted[name]) < tolerance, name


@every_cell
@pytest.mark.parametrize(("batch", "threads", "hidden"), [(6, 2, 256), (33, 9, 576), (36, 10, 640)], ids=str)
def test_few_rows_share_the_units(batch, threads, hidden, kind):
    """In a batch as a whole, and in two halves one after the other."""
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 2e-2)):
        results = []
        for count in (1, threads):
            set_num_threads(count)
            results.append(run_numbers(make(kind, 5, hidden, 1, precision=precision, seed=0), 2, batch))
        for name, wanted in results[0].items():
            assert relative_error(results[1][name], wanted) < tolerance, name


@both_dtypes
@pytest.mark.parametrize("batch", [5, 33])
def test_results_in_the_workspace(batch, dtype):
    gru = GRU(17, 65, 2, dtype=dtype, seed=0)
    x, dy = numbers((9, batch, 17), 1, dtype), numbers((9, batch, 65), 3, dtype)
    y, dx = gru.forward(x)[0], gru.backward(dy)[0]
    views = gru.forward(x, copy=False)[0]
    assert views.tobytes() == y.tobytes()
    views = gru.backward(dy, copy=False)[0]
    assert views.tobytes() == dx.tobytes()


@every_cell
@pytest.mark.parametrize("case", range(4))
def test_golden_vectors_of_pytorch(golden, case, kind):
    prefix = f"{kind}{case}."
    arrays = {name.removeprefix(prefix): array for name, array in golden.items() if name.startswith(prefix)}
    parameters = {k.removeprefix("parameter."): v for k, v in arrays.items() if k.startswith("parameter.")}
    hidden, layers = arrays["h_0"].shape[2], len(arrays["h_0"])
    layer = make(kind, arrays["x"].shape[2], hidden, layers, bias="bias_ih_l0" in parameters)
    layer.load(parameters)
    first, d_last = (tuple(arrays[name.format(state)] for state in layer.cell.states) for name in ("{}_0", "d{}_n"))
    if len(layer.cell.states) == 1:
        (first,), (d_last,) = first, d_last
    got = run(layer, arrays["x"], first, arrays["dy"], d_last)
    for name in ("y", "dx", *(f"{s}_n" for s in layer.cell.states), *(f"d{s}_0" for s in layer.cell.states)):
        assert relative_error(got[name], arrays[name]) < 1e-5, name
    for name in parameters:
        assert relative_error(got[name], arrays[f"gradient.{name}"]) < 1e-5, name


@every_cell
@both_dtypes
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("batch", [7, 33])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_equals_pytorch(layers, batch, bias, dtype, kind):
    torch = pytest.importorskip("torch")
    layer = make(kind, 17, 65, layers, bias=bias, dtype=dtype, seed=3)
    their_kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "rnn": torch.nn.RNN}[kind]
    module = their_kind(17, 65, layers, bias=bias, dtype=torch.from_numpy(np.zeros(1, dtype)).dtype)
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in layer.parameters.items()})
    x, first = numbers((9, batch, 17), 1, dtype), state(layer, batch, 2)
    dy, d_last = numbers((9, batch, 65), 3, dtype), state(layer, batch, 4)
    t_x, t_first = torch.tensor(x, requires_grad=True), [torch.tensor(h, requires_grad=True) for h in arrays_of(first)]
    y, last = module(t_x, tuple(t_first) if kind == "lstm" else t_first[0])
    last = arrays_of(last)
    torch.autograd.backward([y, *last], [torch.tensor(dy), *map(torch.tensor, arrays_of(d_last))])
    got = run(layer, x, first, dy, d_last)
    wanted = {"y": y, "dx": t_x.grad}
    for name, array, before in zip(layer.cell.states, last, t_first, strict=True):
        wanted |= {f"{name}_n": array, f"d{name}_0": before.grad}
    wanted |= {name: value.grad for name, value in module.named_parameters()}
    for name, value in wanted.items():
        assert relative_error(got[name], value.detach().numpy()) < TOLERANCE[dtype], name


@every_kind
@pytest.mark.parametrize("rows", [2, 17, 200], ids=["small-table", "middle-table", "large-table"])
def test_lookup_equals_forward_on_rows(rows, kind):
    layer = make(kind, 5, 17, 2, dtype=np.float64, seed=1)
    table, index = numbers((rows, 5), 1), np.random.default_rng(2).integers(0, rows, (7, 6))
    dy = numbers((7, 6, 17), 3)
    y, last = layer.forward(table[index])
    dx, _ = layer.backward(dy)
    gradients = {name: array.copy() for name, array in layer.gradients.items()}
    looked_up_y, looked_up_last = layer.forward_lookup(table, index)
    dtable, _ = layer.backward(dy)
    wanted_dtable = np.zeros_like(table)
    np.add.at(wanted_dtable, index, dx)
    assert relative_error(looked_up_y, y) < 1e-12
    for got, wanted in zip(arrays_of(looked_up_last), arrays_of(last), strict=True):
        assert relative_error(got, wanted) < 1e-12
    assert relative_error(dtable, wanted_dtable) < 1e-12
    for name, wanted in gradients.items():
        assert relative_error(layer.gradients[name], wanted) < 1e-12, name


@every_kind
def test_state_carries_a_sequence_on(kind):
    layer = make(kind, 3, 17, 2, dtype=np.float64, seed=1)
    x = numbers((10, 4, 3), 1)
    whole, last = layer.forward(x)
    first, state = layer.forward(x[:6].copy())
    second, state = layer.forward(x[6:].copy(), state)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)
    for got, wanted in zip(arrays_of(state), arrays_of(last), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@every_cell
def test_results_are_the_callers_own(kind):
    layer = make(kind, 3, 5, seed=1)
    x = numbers((4, 2, 3), 1, np.float32)
    y, last = layer.forward(x)
    dx, d_first = layer.backward(np.ones_like(y))
    results = [y, dx, *arrays_of(last), *arrays_of(d_first)]
    kept = [array.copy() for array in results]
    layer.forward(2 * x)
    layer.backward(np.zeros_like(y))
    for got, before in zip(results, kept, strict=True):
        np.testing.assert_array_equal(got, before)


@every_cell
def test_inference_leaves_the_backward_pass_alone(kind):
    layer = make(kind, 3, 5, seed=1)
    x, dy = numbers((4, 2, 3), 1, np.float32), numbers((4, 2, 5), 2, np.float32)
    y, _ = layer.forward(x)
    dx, _ = layer.backward(dy)
    layer.forward(x)
    inferred, _ = layer.forward(x, training=False)
    layer.forward(3 * x, training=False)
    np.testing.assert_array_equal(inferred, y)
    np.testing.assert_array_equal(layer.backward(dy)[0], dx)


@every_cell
def test_dropout_acts_between_layers_only_while_training(kind):
    x = numbers((20, 30, 8), 1, np.float32)
    plain, dropped = make(kind, 8, 40, 2, seed=1), make(kind, 8, 40, 2, dropout=0.5, seed=1)
    np.testing.assert_array_equal(dropped.forward(x, training=False)[0], plain.forward(x, training=False)[0])
    assert not np.allclose(dropped.forward(x)[0], plain.forward(x)[0])
    assert not np.array_equal(dropped.forward(x)[0], dropped.forward(x)[0]), "a new mask each time"
    single = make(kind, 8, 40, 1, dropout=0.5, seed=1)
    np.testing.assert_array_equal(single.forward(x)[0], single.forward(x, training=False)[0])


@every_kind
@both_dtypes
@pytest.mark.parametrize("hidden", SIZES)
def test_weight_dropout_is_that_of_the_recurrent_weights(hidden, dtype, kind):
    """The same as a layer that has what is left of them, one mask a pass; for any number of threads."""
    x, dy = numbers((7, 5, 4), 1, dtype), numbers((7, 5, hidden), 2, dtype)
    found = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        layer, plain = (make(kind, 4, hidden, 2, weight_dropout=p, dtype=dtype, seed=3) for p in (0.3, 0.0))
        whole = layer.parameters["weight_hh_l0"].copy()
        keys = copy.deepcopy(layer.dropout_rng).integers(0, 2**64, 2, np.uint64)
        for number, key in enumerate(keys):
            dropout(plain.parameters[f"weight_hh_l{number}"].reshape(-1), 0.3, int(key))
        y, _ = layer.forward(x)
        found.append(y)
        np.testing.assert_array_equal(y, plain.forward(x)[0])
        np.testing.assert_array_equal(layer.backward(dy)[0], plain.backward(dy)[0])
        for number, key in enumerate(keys):
            name = f"weight_hh_l{number}"
            wanted = plain.gradients[name].copy()
            dropout(wanted.reshape(-1), 0.3, int(key))
            np.testing.assert_array_equal(layer.gradients[name], wanted)
        np.testing.assert_array_equal(layer.parameters["weight_hh_l0"], whole)
        inferred = make(kind, 4, hidden, 2, dtype=dtype, seed=3).forward(x, training=False)[0]
        np.testing.assert_array_equal(layer.forward(x, training=False)[0], inferred)
    for y in found[1:]:
        np.testing.assert_allclose(y, found[0], rtol=1e-5, atol=1e-6)


def test_parameters_are_writable_in_place_and_cannot_be_replaced():
    gru = GRU(2, 3, seed=0)
    x = np.ones((1, 1, 2), np.float32)
    for array in gru.parameters.values():
        array[...] = 0
    np.testing.assert_array_equal(gru.forward(x)[0], 0)
    with pytest.raises(TypeError):
        gru.parameters["weight_ih_l0"] = np.zeros((9, 2), np.float32)
    with pytest.raises(ValueError, match=r"weight_ih_l0: expected a float32 array of shape \(9, 2\)"):
        gru.load({**gru.parameters, "weight_ih_l0": np.zeros((9, 3), np.float32)})


def test_the_gil_is_released():
    """Another Python thread gets on with its work while a forward pass runs."""
    gru = GRU(64, 512, seed=0)
    x = np.zeros((200, 16, 64), np.float32)
    running, beats = threading.Event(), []
    running.set()

    def beat():
        while running.is_set():
            beats.append(time.perf_counter())
            time.sleep(0.0005)

    thread = threading.Thread(target=beat)
    thread.start()
    begin = time.perf_counter()
    gru.forward(x)
    end = time.perf_counter()
    running.clear()
    thread.join()
    during = sum(begin < t < end for t in beats)
    assert during >= 3, f"{during} beats in {end - begin:.3f} s"


BAD_INPUT = [
    ({"x": np.zeros((2, 3, 4))}, TypeError, "x: expected a float32 array"),
    ({"x": [[[0.0] * 4]]}, TypeError, "x: expected a float32 array of shape .* got list"),
    ({"x": np.zeros((2, 4), np.float32)}, ValueError, r"x: .* got shape \(2, 4\)"),
    ({"x": np.zeros((2, 3, 5), np.float32)}, ValueError, r"x: .* got shape \(2, 3, 5\)"),
    ({"x": np.zeros((0, 3, 4), np.float32)}, ValueError, r"x: .* got shape \(0, 3, 4\)"),
    ({"x": np.zeros((2, 3, 8), np.float32)[:, :, ::2]}, ValueError, "x: expected a C-contiguous array"),
    ({"h_0": np.zeros((1, 3, 5))}, TypeError, "h_0: expected a float32 array"),
    ({"h_0": np.zeros((1, 2, 5), np.float32)}, ValueError, r"h_0: .* got shape \(1, 2, 5\)"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_INPUT, ids=lambda value: str(value)[:40])
def test_bad_input_is_named(arguments, error, message):
    gru = GRU(4, 5, seed=0)
    with pytest.raises(error, match=message):
        gru.forward(**{"x": np.zeros((2, 3, 4), np.float32), **arguments})


@pytest.mark.parametrize("bad", [np.zeros((1, 3, 5), np.float32), (np.zeros((1, 3, 5), np.float32),), "hc", 3], ids=str)
def test_the_state_of_an_lstm_is_a_pair(bad):
    lstm, x = LSTM(4, 5, seed=0), np.zeros((2, 3, 4), np.float32)
    with pytest.raises(TypeError, match=r"h_0: expected a tuple of 2 arrays \(h, c\), got "):
        lstm.forward(x, bad)
    y, last = lstm.forward(x)
    with pytest.raises(TypeError, match=r"dh_n: expected a tuple of 2 arrays"):
        lstm.backward(y, bad)
    with pytest.raises(ValueError, match=r"c_0: .*\(1, 3, 5\), got shape \(2, 3, 5\)"):
        lstm.forward(x, (last[0], np.zeros((2, 3, 5), np.float32)))
    with pytest.raises(TypeError, match="h_0: expected an array, got tuple"):
        GRU(4, 5, seed=0).forward(x, last)


def test_bad_index_is_named():
    gru = GRU(4, 5, seed=0)
    table = np.zeros((7, 4), np.float32)
    for bad in (7, -1):
        with pytest.raises(IndexError, match=rf"index: expected indices from 0 to 6, got {bad}"):
            gru.forward_lookup(table, np.full((2, 3), bad))
    with pytest.raises(TypeError, match="index: expected a int64"):
        gru.forward_lookup(table, np.zeros((2, 3), np.int32))


def test_backward_needs_a_forward_pass():
    gru = GRU(4, 5, seed=0)
    dy = np.zeros((2, 3, 5), np.float32)
    with pytest.raises(RuntimeError, match="call forward"):
        gru.backward(dy)
    gru.forward(np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ValueError, match=r"dy: .*\(2, 3, 5\), got shape \(3, 3, 5\)"):
        gru.backward(np.zeros((3, 3, 5), np.float32))
    gru.backward(dy)
    with pytest.raises(RuntimeError, match="call forward"):
        gru.backward(dy)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 5), ValueError, "input_size: expected at least 1, got 0"),
        ((3, 2.5), TypeError, "hidden_size: expected an integer, got 2.5"),
        ((3, 5, -1), ValueError, "num_layers"),
        ((3, 5, 1, {"dropout": 1.0}), ValueError, "dropout: expected 0 <= dropout < 1"),
        ((3, 5, 1, {"weight_dropout": -0.1}), ValueError, "weight_dropout: expected 0 <= weight_dropout < 1"),
        ((3, 5, 1, {"dtype": np.float16}), TypeError, "dtype: expected float32 or float64, got float16"),
    ],
    ids=str,
)
def test_bad_sizes_are_named(arguments, error, message):
    positional = [value for value in arguments if not isinstance(value, dict)]
    keywords = next((value for value in arguments if isinstance(value, dict)), {})
    with pytest.raises(error, match=message):
        GRU(*positional, **keywords)
