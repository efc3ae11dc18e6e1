"""The page of `textgru inspect`: a text, coloured by what a unit's state and gates are at each of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

import numpy as np

from textgru.analysis.inspect import Inspection, Unit, shown_memory

LEVELS = 8  # of a colour's strength, on each side of zero
# What is shown of a cell, by the names of its equations, and what that is called.
NAMES = {
    "h": "hidden state h",
    "c": "cell state c",
    "z": "update gate z",
    "r": "reset gate r",
    "n": "candidate n",
    "i": "input gate i",
    "f": "forget gate f",
    "g": "candidate g",
    "o": "output gate o",
}
SIGNED = {"h", "c", "n", "g"}  # from -1 to 1 (c: beyond); gates are from 0 to 1

STYLE = """
:root { color-scheme: light dark; --fore: #1b1b1b; --back: #fff; --soft: #666; --line: #ddd;
  --plus: 214 95 0; --minus: 0 98 189; --gate: 0 130 92; }
@media (prefers-color-scheme: dark) { :root { --fore: #eee; --back: #16181b; --soft: #a0a4aa; --line: #3a3d42;
  --plus: 255 140 40; --minus: 70 150 255; --gate: 40 190 140; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--back); color: var(--fore);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: .2rem 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .2rem; }
p { margin: .3rem 0; }
.soft { color: var(--soft); }
.text { font: 14px/1.6 ui-monospace, Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap;
  border: 1px solid var(--line); border-radius: 4px; padding: .5rem; margin: .4rem 0; }
summary { cursor: pointer; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { text-align: left; padding: .15rem .6rem .15rem 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; }
a { color: inherit; }
.key i { font-style: normal; padding: 0 .4rem; }
"""

KEY_OF_STATES = '<i class="n8">-1</i><i class="n4">-0.5</i><i>0</i><i class="p4">0.5</i><i class="p8">1</i>'
KEY_OF_GATES = '<i>0</i><i class="g4">0.5</i><i class="g8">1</i>'


def page(inspection: Inspection, units: Sequence[Unit], *, title: str, show: int | None = None) -> str:
    """HTML with all that it needs: no script, nothing from elsewhere; the text is escaped. Colours follow the reader's
    light or dark setting. `show`: the number of tokens that are shown, all by default."""
    shown = inspection.pieces[:show]
    left_out = len(inspection.pieces) - len(shown)
    note = f" The first {len(shown):,} of them are shown." if left_out else ""
    parts = [
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>", f"<style>{STYLE}{_levels()}</style>", "</head>", "<body>",
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(inspection.pieces):,} tokens.{note} A token's colour is what the unit was after reading it; what it "
        "remembers is in tokens.</p>",
        f'<p class="key">States: {KEY_OF_STATES} Gates: {KEY_OF_GATES}</p>',
        _table(units),
    ]  # fmt: skip
    for unit in units:
        parts += _section(inspection, unit, shown)
    return "\n".join([*parts, "</body>", "</html>", ""])


def _levels() -> str:
    """A class for each colour and strength: p3 is the third of the positive ones."""
    colours = (("p", "plus"), ("n", "minus"), ("g", "gate"))
    return "\n".join(
        f".{name}{level} {{ background: rgb(var(--{colour}) / {0.6 * level / LEVELS:.3g}); }}"
        for name, colour in colours
        for level in range(1, LEVELS + 1)
    )


def _table(units: Sequence[Unit]) -> str:
    rows = "".join(
        f'<tr><td>{one.layer}</td><td><a href="#{_place(one)}">{one.unit}</a></td>'
        f'<td>{escape(one.feature or "-")}</td><td class="number">{one.correlation:+.2f}</td>'
        f'<td class="number">{shown_memory(one.memory)}</td></tr>'
        for one in units
    )
    head = "<th>layer</th><th>unit</th><th>follows</th>"
    head += '<th class="number">correlation</th><th class="number">remembers</th>'
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _section(inspection: Inspection, unit: Unit, pieces: list[str]) -> list[str]:
    found = inspection.gates[unit.layer]
    heading = f"Layer {unit.layer}, unit {unit.unit}"
    follows = f"follows: {unit.feature} (correlation {unit.correlation:+.2f}); " if unit.feature else ""
    parts = [
        f'<h2 id="{_place(unit)}">{heading}</h2>',
        f'<p class="soft">{escape(follows)}remembers {shown_memory(unit.memory)} tokens</p>',
    ]
    for name in [name for name in NAMES if name in found]:
        values = found[name][: len(pieces), unit.unit]
        opened = " open" if name == "h" else ""
        parts.append(
            f"<details{opened}><summary>{NAMES[name]}: {_spread(values)}</summary>"
            f'<div class="text">{_coloured(pieces, values, signed=name in SIGNED)}</div></details>'
        )
    return parts


def _spread(values: np.ndarray) -> str:
    return f"{values.min():.2f} to {values.max():.2f}, mean {values.mean():.2f}"


def _coloured(pieces: list[str], values: np.ndarray, *, signed: bool) -> str:
    """The text with a span for every run of tokens of one colour."""
    strengths = np.rint(np.clip(values, -1, 1) * LEVELS).astype(int).tolist()
    spans = []
    for strength, run in groupby(zip(strengths, pieces, strict=True), key=lambda pair: pair[0]):
        text = escape(_visible("".join(piece for _, piece in run)))
        kind = ("p" if strength > 0 else "n") if signed else "g"
        spans.append(f'<span class="{kind}{abs(strength)}">{text}</span>' if strength else text)
    return "".join(spans)


def _visible(text: str) -> str:
    """Line ends get a mark, so that their colour is seen; what a page can't have becomes U+FFFD."""
    text = "".join("\ufffd" if character < " " and character not in "\n\t" else character for character in text)
    return text.encode("utf-8", "replace").decode("utf-8").replace("\n", "↵\n")


def _place(unit: Unit) -> str:
    return f"l{unit.layer}u{unit.unit}"
