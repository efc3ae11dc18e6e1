import numpy as np

from textgru.core.recurrent import Recurrent

class GRU(Recurrent):
    reset_after: bool
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        reset_after: bool = True,
        dropout: float = 0.0,
        variational_dropout: bool = False,
        dtype: object = ...,
        seed: int | np.random.Generator | None = None,
    ) -> None: ...
