"""The same language model, a token at a time, in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime

from textgru.exchange.onnx_graph import network_graph
from textgru.model.network import Network


class Sampling:
    """Draws `length` tokens, one at a time: ONNX Runtime for the scores, NumPy for the draw."""

    def __init__(self, network: Network, length: int, temperature: float, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = network_graph(network).SerializeToString()
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.state = network.initial_state(1)
        self.names = [one.name for one in self.session.get_inputs()[1:]]
        self.length, self.temperature = length, temperature
        self.rng = np.random.default_rng(0)

    def run(self) -> list[int]:
        drawn, state, token = [], self.state, np.zeros((1, 1), np.int64)
        for _ in range(self.length):
            logits, *state = self.session.run(None, {"tokens": token, **dict(zip(self.names, state, strict=True))})
            scores = logits[0, 0]
            cumulative = np.cumsum(np.exp((scores - scores.max()) / self.temperature))
            token = np.searchsorted(cumulative, [[self.rng.random() * cumulative[-1]]], side="right")
            drawn.append(int(token[0, 0]))
        return drawn
