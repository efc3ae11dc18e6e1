"""A training that starts from the weights of another run, and takes what belongs to them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from textgru.errors import InputError
from textgru.runs.run import Run
from textgru.text.tokenizer import Tokenizer

NOT_OF_THE_WEIGHTS = ("dropout", "input_dropout", "variational_dropout")  # of a network


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
