from collections.abc import Iterable

import numpy as np

from textgru.core.parameters import Parameters

def gradient_norm(parameters: Parameters) -> float: ...
def clip_grad_norm(parameters: Parameters, max_norm: float) -> float: ...
def lerp(y: np.ndarray, x: np.ndarray, weight: float) -> None: ...

class AdamW:
    parameters: Parameters
    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    exp_avg: np.ndarray
    exp_avg_sq: np.ndarray
    steps: int
    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        names: Iterable[str] | None = None,
    ) -> None: ...
    def step(self, *, lr: float | None = None, gradient_scale: float = 1.0) -> None: ...
