"""Texts to train on: one that comes with textgru, and a catalogue of public ones that `fetch` downloads."""

from .catalogue import Corpus, catalogue, get, path
from .fetch import Progress, fetch

__all__ = ["Corpus", "Progress", "catalogue", "fetch", "get", "path"]
