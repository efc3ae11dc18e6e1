"""Texts drawn side by side with `LanguageModel.pieces`, against one alone: tokens a second, in turn, medians.

    python -m benchmarks.texts_at_once [--texts N] [--rounds N] [--top-p P]

A model of 1 x 512 units and 65 characters, of random weights; decoding included. Beside them what the compiled session
alone draws for as many rows, with the same control, and its GFLOP/s: what is lost to it is Python's.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from string import ascii_letters

import numpy as np

from benchmarks.common import blas_gflops, print_machine, print_table, timed
from textgru.core import Sampler, Session
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

CHARACTERS = ascii_letters + " .,;:!?'\n-()"
ALONE, EACH = 10_000, 2_000  # tokens


def write(model: LanguageModel, texts: int, length: int, top_p: float) -> None:
    for _ in model.pieces(["the "] * texts, length=length, seed=0, top_p=top_p):
        pass


def draw(session: Session, sampler: Sampler, u: np.ndarray) -> None:
    session.generate(np.zeros(session.rows, np.intp), u, sampler=sampler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--top-p", type=float, default=0.9)
    arguments = parser.parse_args()
    texts = arguments.texts
    print_machine(blas_gflops())
    tokenizer = Tokenizer.train("char", lambda: [CHARACTERS])
    network = Network(NetworkConfig(tokenizer.vocab_size, 64, 512, 1), seed=1)
    work = 2e-9 * 512 * (3 * 512 + tokenizer.vocab_size)  # a token's
    table = [["precision", "one text", f"{texts} texts", "ratio", f"session, {texts} rows", "GFLOP/s", "share of it"]]
    for precision in ("fp32", "bf16", "int8"):
        model = LanguageModel(network, tokenizer, precision=precision)
        session = Session(model.packed(), texts)
        sampler = Sampler(tokenizer.vocab_size, texts, top_p=arguments.top_p)
        u = np.random.default_rng(0).random((64, texts))
        sides = {
            "one": (ALONE, partial(write, model, 1, ALONE, arguments.top_p)),
            "all": (texts * EACH, partial(write, model, texts, EACH, arguments.top_p)),
            "session": (u.size, partial(draw, session, sampler, u)),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, (tokens, side) in sides.items():
                rates[name].append(tokens / timed(side))
        one, together, alone = (statistics.median(rates[name]) for name in sides)
        table.append([
            precision, f"{one:,.0f}", f"{together:,.0f}", f"{together / one:.2f}",
            f"{alone:,.0f}", f"{work * alone:.0f}", f"{together / alone:.0%}",
        ])  # fmt: skip
    print_table(table)


if __name__ == "__main__":
    main()
