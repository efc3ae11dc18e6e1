from collections.abc import Mapping, Sequence

import numpy as np

class Sampler:
    vocab_size: int
    rows: int
    def __init__(
        self,
        vocab_size: int,
        rows: int = 1,
        *,
        temperature: float = 1.0,
        dynatemp_range: float = 0.0,
        dynatemp_exponent: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        top_n_sigma: float = 0.0,
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        penalty_last_n: int = 64,
        dry_multiplier: float = 0.0,
        dry_base: float = 1.75,
        dry_allowed_length: int = 2,
        dry_penalty_last_n: int = 1024,
        dry_breakers: Sequence[int] = (),
        mirostat_tau: float = 0.0,
        mirostat_eta: float = 0.1,
        logit_bias: Mapping[int, float] | None = None,
        banned: Sequence[int] = (),
        eos: int = -1,
        min_tokens: int = 0,
    ) -> None: ...
    def read(self, tokens: np.ndarray) -> None: ...
    def memory(self) -> list[tuple[np.ndarray, int, float]]: ...
    def recall(self, memories: Sequence[tuple[np.ndarray, int, float]]) -> None: ...
    def probabilities(self, logits: np.ndarray) -> np.ndarray: ...
    def draw(self, logits: np.ndarray, u: np.ndarray) -> np.ndarray: ...
    def reorder(self, rows: np.ndarray) -> None: ...
