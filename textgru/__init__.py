"""textgru: train a GRU language model on a text file, on the CPU, and generate text with it.

import textgru

model = textgru.train("tales.txt", "runs/tales", max_minutes=2)
print(model.generate("Once", length=300))
"""

from __future__ import annotations

import importlib

from textgru.errors import InputError, TextgruError

TYPE_CHECKING = False  # not from typing, which takes longer to import than all that is here
if TYPE_CHECKING:
    from typing import Any

    from textgru.ensemble_model import load_ensemble
    from textgru.language_model import LanguageModel, load
    from textgru.text.tokenizer import Tokenizer
    from textgru.training.api import learn, resume, train

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "LanguageModel",
    "TextgruError",
    "Tokenizer",
    "__version__",
    "learn",
    "load",
    "load_ensemble",
    "resume",
    "train",
]

# Imported when first asked for: so the command line handles Ctrl-C, and textgru.core stands alone, from the beginning.
_PLACES = {
    "LanguageModel": "textgru.language_model",
    "load": "textgru.language_model",
    "load_ensemble": "textgru.ensemble_model",
    "learn": "textgru.training.api",
    "resume": "textgru.training.api",
    "train": "textgru.training.api",
    "Tokenizer": "textgru.text.tokenizer",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'textgru' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
