"""Networks for the tests of sessions: what PackedNetwork is made of."""

import numpy as np

from tests.core.cells import make
from textgru.core import Linear


def network(kind, vocab, inputs, hidden, layers, *, bias=True, dtype=np.float32):
    """An embedding (V, E), a recurrent stack, an output layer."""
    recurrent = make(kind, inputs, hidden, layers, bias=bias, dtype=dtype, seed=1)
    output = Linear(hidden, vocab, bias=bias, dtype=dtype, seed=2)
    embedding = np.random.default_rng(3).standard_normal((vocab, inputs)).astype(dtype)
    return embedding, recurrent, output


def random_state(packed, rows, seed=5):
    shape = (packed.num_layers, rows, packed.hidden_size)
    rng = np.random.default_rng(seed)
    return tuple(np.tanh(rng.standard_normal(shape)).astype(packed.dtype) for _ in packed.states)


def random_tokens(packed, *shape, seed=4):
    return np.random.default_rng(seed).integers(0, packed.vocab_size, shape)
