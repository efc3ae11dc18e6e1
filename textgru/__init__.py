"""textgru: train a GRU language model on a text file, on the CPU, and generate text with it.

import textgru

model = textgru.train("tales.txt", "runs/tales", max_minutes=2)
print(model.generate("Once", length=300))
"""

from textgru.errors import InputError, TextgruError
from textgru.language_model import LanguageModel, load, resume, train
from textgru.tokenizer import Tokenizer

__version__ = "0.1.0"
__all__ = ["InputError", "LanguageModel", "TextgruError", "Tokenizer", "__version__", "load", "resume", "train"]
