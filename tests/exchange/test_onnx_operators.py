"""The operators GRU, LSTM and RNN: ONNX's own test cases, and the reference for what they leave out."""

import warnings

import numpy as np
import pytest

from tests.reference import recurrent
from textgru.exchange.onnx_operators import ORDER, run_operator

NAMES = [
    *(f"test_gru_{name}" for name in ("defaults", "with_initial_bias", "seq_length", "batchwise", "reverse")),
    *(f"test_lstm_{name}" for name in ("defaults", "with_initial_bias", "batchwise", "reverse", "bidirectional")),
    *(f"test_simple_rnn_{name}" for name in ("defaults", "with_initial_bias", "batchwise", "reverse", "bidirectional")),
    "test_gru_bidirectional",
    "test_rnn_seq_length",
    "test_lstm_with_peepholes",
]
GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}


@pytest.fixture(scope="module")
def cases():
    """ONNX's own, by name; those that its version has."""
    pytest.importorskip("onnx")
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            case.name: case
            for case in load_model_tests(kind="node")
            if case.name.startswith(("test_gru_", "test_lstm_", "test_simple_rnn_", "test_rnn_"))
        }


def run_case(case):
    """Pairs of what an operator's test case wants and what we give."""
    from onnx import helper

    node = case.model.graph.node[0]
    inputs, outputs = case.data_sets[0]
    there = iter(inputs)
    arrays = [np.array(next(there)) if name else None for name in node.input]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    names = ("x", "w", "r", "b", "sequence_lens", "initial_h", "initial_c", "p")
    got = run_operator(node.op_type, **dict(zip(names, arrays, strict=False)), **attributes)
    wanted = iter(outputs)
    return [(next(wanted), array) for name, array in zip(node.output, got, strict=False) if name]


def test_all_of_onnxs_own_cases_are_known(cases):
    assert set(cases) <= set(NAMES)
    assert len(cases) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_onnxs_own_case(cases, name):
    if name not in cases:
        pytest.skip("this version of onnx has no such case")
    if name.endswith("peepholes"):
        with pytest.raises(ValueError, match="P: peepholes are not supported"):
            run_case(cases[name])
        return
    pairs = run_case(cases[name])
    assert pairs
    for wanted, got in pairs:
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def arrays_for(operator, directions, rng):
    gates = GATES[operator] * 4
    shapes = {"x": (6, 3, 5), "w": (directions, gates, 5), "r": (directions, gates, 4), "b": (directions, 2 * gates)}
    shapes["initial_h"] = (directions, 3, 4)
    if operator == "LSTM":
        shapes["initial_c"] = (directions, 3, 4)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lens", [None, [6, 2, 4]])
def test_it_is_the_reference_row_by_row(operator, before, direction, lens):
    directions = 2 if direction == "bidirectional" else 1
    arrays = arrays_for(operator, directions, np.random.default_rng(0))
    y, *ends = run_operator(
        operator, **arrays, sequence_lens=None if lens is None else np.array(lens, np.int32), direction=direction,
        linear_before_reset=before,
    )  # fmt: skip
    kind = operator.lower()
    for d in range(directions):
        parameters = {}
        halves = np.split(arrays["b"][d], 2)
        for name, array in (("weight_ih", arrays["w"][d]), ("weight_hh", arrays["r"][d]), *zip(
            ("bias_ih", "bias_hh"), halves, strict=True)):  # fmt: skip
            blocks = np.split(array, GATES[operator])
            ours = [blocks[ORDER[kind].index(i)] for i in range(len(blocks))]
            parameters[f"{name}_l0"] = np.concatenate(ours)
        back = direction == "reverse" or d == 1
        for b, n in enumerate(lens or [6, 6, 6]):
            x = arrays["x"][:n, b : b + 1]
            state = tuple(arrays[name][d : d + 1, b : b + 1] for name in ("initial_h", "initial_c") if name in arrays)
            cell = "gru-reset-before" if kind == "gru" and not before else kind
            wanted, last = recurrent(cell, x[::-1] if back else x, state, parameters)
            np.testing.assert_allclose(y[:n, d, b], (wanted[::-1] if back else wanted)[:, 0], atol=1e-12)
            assert not y[n:, d, b].any()
            for end, array in zip(ends, last, strict=True):
                np.testing.assert_allclose(end[d, b], array[0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"clip": 1.0}, "clip: not supported"),
        ({"input_forget": 1}, "input_forget: not supported"),
        ({"activations": ["Relu", "Tanh", "Tanh"]}, "activations: expected sigmoid, tanh, tanh, got Relu, Tanh, Tanh"),
        ({"direction": "sideways"}, "direction: expected one of"),
        ({"hidden_size": 9}, "hidden_size: expected 4"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(setting, message):
    with pytest.raises(ValueError, match=message):
        run_operator("LSTM", **arrays_for("LSTM", 1, np.random.default_rng(0)), **setting)
