from typing import Literal, overload

import numpy as np

from textgru.core._stepping.packed_network import PackedNetwork
from textgru.core._stepping.sampler import Sampler

class Session:
    state: tuple[np.ndarray, ...]
    @property
    def packed(self) -> PackedNetwork: ...
    @property
    def rows(self) -> int: ...
    @property
    def logits(self) -> np.ndarray: ...
    @property
    def threads(self) -> int: ...
    def __init__(self, packed: PackedNetwork, rows: int = 1) -> None: ...
    def save_state(self) -> bytes: ...
    def load_state(self, data: bytes | bytearray | memoryview) -> None: ...
    def reorder(self, rows: np.ndarray) -> None: ...
    def step(self, tokens: np.ndarray | int) -> None: ...
    def read(self, tokens: np.ndarray) -> None: ...
    def losses(self, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray: ...
    @overload
    def generate(
        self,
        tokens: np.ndarray | int,
        u: np.ndarray,
        temperature: float = 1.0,
        never: int = -1,
        *,
        sampler: Sampler | None = None,
        return_losses: Literal[False] = False,
    ) -> np.ndarray: ...
    @overload
    def generate(
        self,
        tokens: np.ndarray | int,
        u: np.ndarray,
        temperature: float = 1.0,
        never: int = -1,
        *,
        sampler: Sampler | None = None,
        return_losses: Literal[True],
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def draw(self, temperature: float, u: np.ndarray | float) -> np.ndarray | int: ...
