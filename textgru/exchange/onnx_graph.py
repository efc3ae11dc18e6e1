"""A model as an ONNX graph: token ids and a state in, scores and the next state out, for any length and batch."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from textgru.core import quantize_rows
from textgru.language_model import LanguageModel
from textgru.model.network import Network

OPSET, IR_VERSION = 18, 9
# Where each of ONNX's gates stands among ours: GRU z, r, h of r, z, n; LSTM i, o, f, c of i, f, g, o.
ORDER = {"gru": (1, 0, 2), "lstm": (0, 3, 1, 2), "rnn": (0,)}
OPERATORS = {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}
STATES = {"gru": ("h",), "lstm": ("h", "c"), "rnn": ("h",)}


def onnx_model(model: LanguageModel, *, precision: str = "fp32") -> bytes:
    """The graph with the tokenizer (the text of a tokenizer.json) and where it came from among its metadata."""
    graph = network_graph(model.network, precision=precision)
    about = {"tokenizer": model.tokenizer.to_json(), "tokenizer_kind": model.tokenizer.kind, "producer": "textgru"}
    for name, value in about.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = name, value
    return graph.SerializeToString()  # type: ignore[no-any-return]


def network_graph(network: Network, *, precision: str = "fp32") -> helper.ModelProto:
    """tokens (T, B) int64 and h_0, of an LSTM also c_0, (L, B, H) float32 to logits (T, B, V) and h_n, c_n.

    T and B are free. `precision` "int8" stores each matrix as 8-bit integers with a scale for each row
    (DequantizeLinear): a quarter of the size, the same arithmetic in float32.
    """
    config, found = network.config, network.named_parameters()
    cell, hidden, layers = config.cell, config.hidden_size, config.num_layers
    weights: dict[str, np.ndarray] = {"one": np.array([1], np.int64)}
    nodes: list[helper.NodeProto] = []

    def matrix(name: str, array: np.ndarray, axis: int) -> str:
        """A weight (..., rows, n) of the graph; the rows are at `axis`."""
        if precision != "int8":
            weights[name] = array
            return name
        integers, scales = quantize_rows(np.ascontiguousarray(array.reshape(-1, array.shape[-1])))
        weights[f"{name}_int8"], weights[f"{name}_scale"] = integers.reshape(array.shape), scales
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=axis))
        return name

    def by_gate(name: str) -> np.ndarray:
        parts = np.split(found[name], len(ORDER[cell]))
        return np.concatenate([parts[i] for i in ORDER[cell]])

    embedding = matrix("embedding", found["embedding.weight"], 0)
    nodes.append(helper.make_node("Gather", [embedding, "tokens"], ["x0"]))
    states = STATES[cell]
    for state in states:
        names = [f"{state}_0_l{layer}" for layer in range(layers)]
        nodes.append(helper.make_node("Split", [f"{state}_0"], names, axis=0, num_outputs=layers))
    for layer in range(layers):
        w = matrix(f"W{layer}", by_gate(f"{cell}.weight_ih_l{layer}")[None], 1)
        r = matrix(f"R{layer}", by_gate(f"{cell}.weight_hh_l{layer}")[None], 1)
        biases = [by_gate(f"{cell}.bias_{which}_l{layer}") for which in ("ih", "hh")]
        weights[f"B{layer}"] = np.concatenate(biases)[None]
        inputs = [f"x{layer}", w, r, f"B{layer}", "", *(f"{state}_0_l{layer}" for state in states)]
        outputs = [f"y{layer}", *(f"{state}_n_l{layer}" for state in states)]
        more = {"linear_before_reset": 1} if cell == "gru" else {}
        nodes.append(helper.make_node(OPERATORS[cell], inputs, outputs, hidden_size=hidden, **more))
        nodes.append(helper.make_node("Squeeze", [f"y{layer}", "one"], [f"x{layer + 1}"]))  # (T, B, H)
    for state in states:
        names = [f"{state}_n_l{layer}" for layer in range(layers)]
        nodes.append(helper.make_node("Concat", names, [f"{state}_n"], axis=0))
    output = embedding if config.tie_weights else matrix("output", found["output.weight"], 0)
    weights["bias"] = found["output.bias"]
    nodes.append(helper.make_node("Transpose", [output], ["output_t"], perm=[1, 0]))
    nodes.append(helper.make_node("MatMul", [f"x{layers}", "output_t"], ["products"]))
    nodes.append(helper.make_node("Add", ["products", "bias"], ["logits"]))

    def value(name: str, kind: int, shape: list[object]) -> helper.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    of_state: list[object] = [layers, "batch", hidden]
    graph = helper.make_graph(
        nodes, "textgru",
        [value("tokens", TensorProto.INT64, ["length", "batch"])]
        + [value(f"{state}_0", TensorProto.FLOAT, of_state) for state in states],
        [value("logits", TensorProto.FLOAT, ["length", "batch", config.vocab_size])]
        + [value(f"{state}_n", TensorProto.FLOAT, of_state) for state in states],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
