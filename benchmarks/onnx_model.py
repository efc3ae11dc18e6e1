"""The same language model, one step of it, in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from textgru.model.network import Network

OPSET = 18


def _gates_zrh(array: np.ndarray) -> np.ndarray:
    """Blocks r, z, n (PyTorch's and textgru's order) as z, r, h (ONNX's)."""
    r, z, n = np.split(array, 3)
    return np.concatenate([z, r, n])


def step_model(network: Network) -> bytes:
    """An ONNX model: token (1,) and state (L, 1, H) to logits (1, V) and the next state, with the network's weights."""
    config, arrays = network.config, network.named_parameters()
    hidden = config.hidden_size
    weights = {
        "embedding": arrays["embedding.weight"],
        "output": arrays["output.weight"].T,
        "bias": arrays["output.bias"],
    }
    nodes = [helper.make_node("Gather", ["embedding", "token"], ["row"])]
    nodes.append(helper.make_node("Unsqueeze", ["row", "zero"], ["x0"]))  # (1, 1, E)
    weights["zero"] = np.array([0], np.int64)
    states = [f"h{layer}" for layer in range(config.num_layers)]
    nodes.append(helper.make_node("Split", ["state"], states, axis=0, num_outputs=config.num_layers))
    for layer in range(config.num_layers):
        for name, kind in (("W", "ih"), ("R", "hh")):
            weights[f"{name}{layer}"] = _gates_zrh(arrays[f"gru.weight_{kind}_l{layer}"])[None]
        biases = [_gates_zrh(arrays[f"gru.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")]
        weights[f"B{layer}"] = np.concatenate(biases)[None]
        inputs = [f"x{layer}", f"W{layer}", f"R{layer}", f"B{layer}", "", f"h{layer}"]
        nodes.append(
            helper.make_node("GRU", inputs, ["", f"x{layer + 1}"], hidden_size=hidden, linear_before_reset=1)
        )  # Y_h is (1, 1, H): the next layer's input of one step
    nodes.append(helper.make_node("Concat", [f"x{n + 1}" for n in range(config.num_layers)], ["next"], axis=0))
    nodes.append(helper.make_node("Squeeze", [f"x{config.num_layers}", "zero"], ["top"]))
    nodes.append(helper.make_node("Gemm", ["top", "output", "bias"], ["logits"]))
    shape = [config.num_layers, 1, hidden]
    graph = helper.make_graph(
        nodes,
        "step",
        [
            helper.make_tensor_value_info("token", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, config.vocab_size]),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, shape),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return model.SerializeToString()  # type: ignore[no-any-return]


class Sampling:
    """Draws `length` tokens, one at a time: ONNX Runtime for the scores, NumPy for the draw."""

    def __init__(self, network: Network, length: int, temperature: float, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(step_model(network), options, providers=["CPUExecutionProvider"])
        self.state = network.initial_state(1)
        self.length, self.temperature = length, temperature
        self.rng = np.random.default_rng(0)

    def run(self) -> list[int]:
        drawn, state, token = [], self.state, np.zeros(1, np.int64)
        for _ in range(self.length):
            logits, state = self.session.run(["logits", "next"], {"token": token, "state": state})
            p = np.exp((logits[0] - logits[0].max()) / self.temperature)
            cumulative = np.cumsum(p)
            token = np.searchsorted(cumulative, [self.rng.random() * cumulative[-1]], side="right")
            drawn.append(int(token[0]))
        return drawn
