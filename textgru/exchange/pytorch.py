"""A model for PyTorch: its state dict, and the few lines that run it."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save

from textgru.exchange.files import template
from textgru.language_model import LanguageModel

MODULES = {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}


def pytorch_files(model: LanguageModel) -> dict[str, bytes]:
    """model.safetensors (names and shapes of the module's parameters, float32), model.py, tokenizer.json."""
    config = model.network.config
    arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in model.network.named_parameters().items()}
    if config.tie_weights:
        arrays["output.weight"] = arrays["embedding.weight"].copy()
    code = template("model.py.txt").replace("@CELL@", config.cell).replace("@LAYERS@", str(config.num_layers))
    return {
        "model.safetensors": save(arrays),
        "model.py": code.replace("@MODULE@", MODULES[config.cell]).encode(),
        "tokenizer.json": model.tokenizer.to_json().encode(),
    }
