"""The GRU's results: against the reference, golden vectors and PyTorch, for any threads and instruction set."""

import threading
import time

import numpy as np
import pytest

from tests.reference import gru as reference_gru
from tests.reference import relative_error
from textgru.core import GRU, set_num_threads, simd
from textgru.core.products import set_product_kernels

SIZES = [1, 3, 17, 65]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
both_conventions = pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def numbers(shape, seed, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def run(gru, x, h_0, dy, dh_n):
    """Everything that a forward and a backward pass give, by name."""
    y, h_n = gru.forward(x, h_0)
    dx, dh_0 = gru.backward(dy, dh_n)
    return {"y": y, "h_n": h_n, "dx": dx, "dh_0": dh_0, **{k: v.copy() for k, v in gru.gradients.items()}}


def run_numbers(gru, seq, batch):
    dtype, hidden, layers = gru.dtype, gru.hidden_size, gru.num_layers
    return run(
        gru,
        numbers((seq, batch, gru.input_size), 1, dtype),
        numbers((layers, batch, hidden), 2, dtype),
        numbers((seq, batch, hidden), 3, dtype),
        numbers((layers, batch, hidden), 4, dtype),
    )


@both_conventions
@both_dtypes
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("hidden", SIZES)
@pytest.mark.parametrize("batch", SIZES)
def test_forward_equals_reference(batch, hidden, threads, dtype, reset_after):
    set_num_threads(threads)
    gru = GRU(3, hidden, 2, reset_after=reset_after, dtype=dtype, seed=0)
    x, h_0 = numbers((17, batch, 3), 1, dtype), numbers((2, batch, hidden), 2, dtype)
    y, h_n = gru.forward(x, h_0)
    wanted_y, wanted_h_n = reference_gru(x, h_0, gru.parameters, reset_after=reset_after)
    assert y.dtype == h_n.dtype == dtype
    assert relative_error(y, wanted_y) < TOLERANCE[dtype]
    assert relative_error(h_n, wanted_h_n) < TOLERANCE[dtype]


@both_conventions
@pytest.mark.parametrize("batch", [1, 3, 17, 65])
def test_float32_backward_equals_float64(batch, reset_after):
    """float64 is checked against differences; float32 has to agree with it."""
    results = {}
    for dtype in (np.float32, np.float64):
        gru = GRU(17, 65, 2, reset_after=reset_after, dtype=dtype, seed=0)
        results[dtype] = run_numbers(gru, 17, batch)
    for name, wanted in results[np.float64].items():
        assert relative_error(results[np.float32][name], wanted) < 1e-5, name


@both_conventions
@pytest.mark.parametrize("batch", [1, 2, 3, 65])
@pytest.mark.parametrize("seq", [1, 17])
def test_threads_agree_within_rounding(seq, batch, reset_after):
    results = []
    for threads in (1, 2, 7):
        set_num_threads(threads)
        results.append(run_numbers(GRU(17, 65, 2, reset_after=reset_after, seed=0), seq, batch))
    for other in results[1:]:
        for name, wanted in results[0].items():
            assert relative_error(other[name], wanted) < 1e-5, name


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_same_threads_give_the_same_bits(threads):
    set_num_threads(threads)
    first, second = (run_numbers(GRU(65, 129, 2, dropout=0.3, seed=9), 33, 40) for _ in range(2))
    for name, wanted in first.items():
        assert first[name].tobytes() == second[name].tobytes(), name
        assert np.isfinite(wanted).all()


@both_conventions
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", [20, 33, 64])
def test_our_own_products_give_the_same_bits_for_any_threads(batch, precision, reset_after):
    set_product_kernels("packed")
    table, index = numbers((9, 17), 5, np.float32), np.random.default_rng(6).integers(0, 9, (20, batch))
    dy = numbers((20, batch, 65), 3, np.float32)
    results = []
    for threads in (1, 2, 3, 7):
        set_num_threads(threads)
        gru = GRU(17, 65, 2, reset_after=reset_after, dropout=0.2, precision=precision, seed=0)
        by_table = {"y": gru.forward_lookup(table, index)[0], "dtable": gru.backward(dy)[0]}
        by_table |= {name: array.copy() for name, array in gru.gradients.items()}
        results.append([by_table, run_numbers(gru, 20, batch)])
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            for name in wanted:
                assert got[name].tobytes() == wanted[name].tobytes(), name


@both_conventions
@both_dtypes
@pytest.mark.parametrize("name", simd.supported_instruction_sets())
def test_every_instruction_set(name, dtype, reset_after):
    def results(instruction_set):
        simd.set_instruction_set(instruction_set)
        return [run_numbers(GRU(3, hidden, 1, reset_after=reset_after, dtype=dtype, seed=1), 5, 3) for hidden in SIZES]

    for got, wanted in zip(results(name), results("baseline"), strict=True):
        for key in wanted:
            assert relative_error(got[key], wanted[key]) < TOLERANCE[dtype], key


@pytest.mark.parametrize("name", simd.supported_instruction_sets())
@pytest.mark.parametrize("hidden", [64, 128, 192])
@pytest.mark.parametrize("batch", [1, 2, 5, 6, 7, 13, 50])
def test_our_own_product(batch, hidden, name):
    """Whole blocks of 64 units and a long sequence: the packed product, at every number of rows in a tile."""
    simd.set_instruction_set(name)
    set_num_threads(2)
    results = {}
    for dtype in (np.float32, np.float64):  # float64 always takes the BLAS
        results[dtype] = run_numbers(GRU(5, hidden, 2, dtype=dtype, seed=0), 9, batch)
    for key, wanted in results[np.float64].items():
        assert relative_error(results[np.float32][key], wanted) < 1e-5, key


@both_conventions
@pytest.mark.parametrize(("batch", "precision"), [(7, "fp32"), (33, "fp32"), (7, "bf16")])
def test_weights_that_stay_in_no_near_cache(batch, precision, reset_after):
    """And more units than a product takes at once: 1024, or 1024 pairs."""
    hidden, tolerance = (1030, 1e-5) if precision == "fp32" else (2050, 0.02)
    set_num_threads(2)
    set_product_kernels("packed")
    wanted = run_numbers(GRU(5, hidden, reset_after=reset_after, dtype=np.float64, seed=0), 9, batch)
    got = run_numbers(GRU(5, hidden, reset_after=reset_after, precision=precision, seed=0), 9, batch)
    for name in wanted:
        assert relative_error(got[name], wanted[name]) < tolerance, name


@pytest.mark.parametrize(("batch", "threads", "hidden"), [(6, 2, 256), (33, 9, 576), (36, 10, 640)], ids=str)
def test_few_rows_share_the_units(batch, threads, hidden):
    """In a batch as a whole, and in two halves one after the other."""
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 2e-2)):
        results = []
        for count in (1, threads):
            set_num_threads(count)
            results.append(run_numbers(GRU(5, hidden, 1, precision=precision, seed=0), 9, batch))
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


@pytest.mark.parametrize("case", range(4))
def test_golden_vectors_of_pytorch(golden, case):
    arrays = {k.removeprefix(f"gru{case}."): v for k, v in golden.items() if k.startswith(f"gru{case}.")}
    parameters = {k.removeprefix("parameter."): v for k, v in arrays.items() if k.startswith("parameter.")}
    gru = GRU(arrays["x"].shape[2], arrays["h_0"].shape[2], len(arrays["h_0"]), bias="bias_ih_l0" in parameters)
    gru.load(parameters)
    got = run(gru, arrays["x"], arrays["h_0"], arrays["dy"], arrays["dh_n"])
    for name in ("y", "h_n", "dx", "dh_0"):
        assert relative_error(got[name], arrays[name]) < 1e-5, name
    for name in parameters:
        assert relative_error(got[name], arrays[f"gradient.{name}"]) < 1e-5, name


@both_dtypes
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("batch", [7, 33])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_equals_pytorch(layers, batch, bias, dtype):
    torch = pytest.importorskip("torch")
    gru = GRU(17, 65, layers, bias=bias, dtype=dtype, seed=3)
    module = torch.nn.GRU(17, 65, layers, bias=bias, dtype=torch.from_numpy(np.zeros(1, dtype)).dtype)
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in gru.parameters.items()})
    x, h_0 = numbers((9, batch, 17), 1, dtype), numbers((layers, batch, 65), 2, dtype)
    dy, dh_n = numbers((9, batch, 65), 3, dtype), numbers((layers, batch, 65), 4, dtype)
    t_x, t_h = torch.tensor(x, requires_grad=True), torch.tensor(h_0, requires_grad=True)
    y, h_n = module(t_x, t_h)
    torch.autograd.backward([y, h_n], [torch.tensor(dy), torch.tensor(dh_n)])
    got = run(gru, x, h_0, dy, dh_n)
    wanted = {"y": y, "h_n": h_n, "dx": t_x.grad, "dh_0": t_h.grad}
    wanted |= {name: value.grad for name, value in module.named_parameters()}
    for name, value in wanted.items():
        assert relative_error(got[name], value.detach().numpy()) < TOLERANCE[dtype], name


@both_conventions
@pytest.mark.parametrize("rows", [2, 17, 200], ids=["small-table", "middle-table", "large-table"])
def test_lookup_equals_forward_on_rows(rows, reset_after):
    gru = GRU(5, 17, 2, reset_after=reset_after, dtype=np.float64, seed=1)
    table, index = numbers((rows, 5), 1), np.random.default_rng(2).integers(0, rows, (7, 6))
    dy = numbers((7, 6, 17), 3)
    y, h_n = gru.forward(table[index])
    dx, _ = gru.backward(dy)
    gradients = {name: array.copy() for name, array in gru.gradients.items()}
    looked_up_y, looked_up_h_n = gru.forward_lookup(table, index)
    dtable, _ = gru.backward(dy)
    wanted_dtable = np.zeros_like(table)
    np.add.at(wanted_dtable, index, dx)
    assert relative_error(looked_up_y, y) < 1e-12
    assert relative_error(looked_up_h_n, h_n) < 1e-12
    assert relative_error(dtable, wanted_dtable) < 1e-12
    for name, wanted in gradients.items():
        assert relative_error(gru.gradients[name], wanted) < 1e-12, name


def test_state_carries_a_sequence_on():
    gru = GRU(3, 17, 2, dtype=np.float64, seed=1)
    x = numbers((10, 4, 3), 1)
    whole, h_whole = gru.forward(x)
    first, h = gru.forward(x[:6].copy())
    second, h = gru.forward(x[6:].copy(), h)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)
    np.testing.assert_allclose(h, h_whole, rtol=1e-12)


def test_results_are_the_callers_own():
    gru = GRU(3, 5, seed=1)
    x = numbers((4, 2, 3), 1, np.float32)
    y, h_n = gru.forward(x)
    kept_y, kept_h = y.copy(), h_n.copy()
    dx, dh_0 = gru.backward(np.ones_like(y))
    kept_dx, kept_dh = dx.copy(), dh_0.copy()
    gru.forward(2 * x)
    gru.backward(np.zeros_like(y))
    for got, kept in ((y, kept_y), (h_n, kept_h), (dx, kept_dx), (dh_0, kept_dh)):
        np.testing.assert_array_equal(got, kept)


def test_inference_leaves_the_backward_pass_alone():
    gru = GRU(3, 5, seed=1)
    x, dy = numbers((4, 2, 3), 1, np.float32), numbers((4, 2, 5), 2, np.float32)
    y, _ = gru.forward(x)
    dx, _ = gru.backward(dy)
    gru.forward(x)
    inferred, _ = gru.forward(x, training=False)
    gru.forward(3 * x, training=False)
    np.testing.assert_array_equal(inferred, y)
    np.testing.assert_array_equal(gru.backward(dy)[0], dx)


def test_dropout_acts_between_layers_only_while_training():
    x = numbers((20, 30, 8), 1, np.float32)
    plain, dropped = GRU(8, 40, 2, seed=1), GRU(8, 40, 2, dropout=0.5, seed=1)
    np.testing.assert_array_equal(dropped.forward(x, training=False)[0], plain.forward(x, training=False)[0])
    assert not np.allclose(dropped.forward(x)[0], plain.forward(x)[0])
    assert not np.array_equal(dropped.forward(x)[0], dropped.forward(x)[0]), "a new mask each time"
    single = GRU(8, 40, 1, dropout=0.5, seed=1)
    np.testing.assert_array_equal(single.forward(x)[0], single.forward(x, training=False)[0])


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
        ((3, 5, 1, {"dtype": np.float16}), TypeError, "dtype: expected float32 or float64, got float16"),
    ],
    ids=str,
)
def test_bad_sizes_are_named(arguments, error, message):
    positional = [value for value in arguments if not isinstance(value, dict)]
    keywords = next((value for value in arguments if isinstance(value, dict)), {})
    with pytest.raises(error, match=message):
        GRU(*positional, **keywords)
