import numpy as np

from textgru.core.gru import GRU
from textgru.core.layers import Linear

PRECISIONS: tuple[str, ...]

class TokenStep:
    state: np.ndarray
    logits: np.ndarray
    precision: str
    nbytes: int
    threads: int
    def __init__(self, embedding: np.ndarray, gru: GRU, output: Linear, *, precision: str = "fp32") -> None: ...
    def step(self, token: int) -> None: ...
    def generate(self, token: int, u: np.ndarray, temperature: float, never: int = -1) -> np.ndarray: ...
    def losses(self, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray: ...
    def draw(self, temperature: float, u: float) -> int: ...
