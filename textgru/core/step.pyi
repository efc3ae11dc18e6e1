import numpy as np

from textgru.core.gru import GRU
from textgru.core.layers import Linear

class TokenStep:
    state: np.ndarray
    logits: np.ndarray
    def __init__(self, embedding: np.ndarray, gru: GRU, output: Linear) -> None: ...
    def step(self, token: int) -> None: ...
    def draw(self, temperature: float, u: float) -> int: ...
