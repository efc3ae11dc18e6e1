"""A training that starts from the weights of another run, and takes what belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from textgru.errors import InputError
from textgru.model.network import Network
from textgru.runs.run import Run
from textgru.text.char_tokenizer import CharTokenizer
from textgru.text.files import read_blocks
from textgru.text.spooling import SpooledFile
from textgru.text.tokenizer import Tokenizer

MOST_UNKNOWN = 0.1  # of a text's tokens may be unknown, unless more are allowed
NOT_OF_THE_WEIGHTS = ("dropout", "input_dropout", "variational_dropout", "weight_dropout")  # of a network


def shape_of(run: Run, wanted: dict[str, Any], preset: str | None) -> dict[str, Any]:
    """The network's settings of a run; of those wanted, only how it is trained may differ."""
    if preset is not None:
        raise InputError(f"preset: the network has the shape of {run.path}, whose weights it takes; leave it out")
    shape = asdict(run.network)
    del shape["vocab_size"]
    for name, value in wanted.items():
        if name not in NOT_OF_THE_WEIGHTS and value != shape[name]:
            raise InputError(f"{name}: {value} doesn't fit the weights of {run.path}, {shape[name]}; leave it out")
    return {**shape, **wanted}


def tokenizer_of(run: Run, wanted: str | Path | Tokenizer | None, vocab_size: int | None) -> Tokenizer:
    """The tokenizer of a run; raises InputError where another one is wanted."""
    if wanted is not None or vocab_size is not None:
        raise InputError(f"tokenizer: the weights of {run.path} need its own ({run.tokenizer.kind}); leave it out")
    return run.tokenizer


def extended(tokenizer: Tokenizer, paths: Sequence[Path | SpooledFile], encoding: str) -> Tokenizer:
    """A tokenizer of characters with those of a text that it lacks, after its own; any other, and one for which more
    than MOST_UNKNOWN of the text are unknown, as it is."""
    if not isinstance(tokenizer, CharTokenizer):
        return tokenizer
    return tokenizer.extended(read_blocks(paths, encoding), MOST_UNKNOWN)


def take_weights(network: Network, run: Run) -> None:
    """Gives a network the weights of a run. Tokens that the run's network lacks begin as the mean of all that it has
    (Hewitt 2021, https://nlp.stanford.edu/~johnhew/vocab-expansion.html), and as unlikely as its least likely one."""
    theirs = run.load_network().named_parameters()
    for name, array in network.named_parameters().items():
        known = theirs[name]
        if array.shape == known.shape:
            array[...] = known
        else:
            array[: len(known)] = known
            array[len(known) :] = known.min() if known.ndim == 1 else known.mean(axis=0)
