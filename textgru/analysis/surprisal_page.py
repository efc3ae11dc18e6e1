"""A text as a web page, each token in the colour of its surprisal: self-contained, without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from textgru.analysis.surprisal import LINE_END, Surprisals, level, level_names
from textgru.errors import escaped
from textgru.text.tokenizer import Tokenizer

# The colours lie on the page's own background, light or dark, so that letters stay readable: b1 to b6 by level.
_HEAD = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --page: #fdfcfa; --ink: #1d1d1f; --soft: #5f5f66; --heat: 255, 112, 40; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #17181b; --ink: #ececf0; --soft: #a3a3ad; --heat: 214, 70, 16; }}
}}
body {{ background: var(--page); color: var(--ink); margin: 0 auto; max-width: 52rem; padding: 1rem;
  font: 1rem/1.7 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
h1 {{ font: 600 1.25rem/1.3 system-ui, sans-serif; margin: 0; overflow-wrap: anywhere; }}
p {{ color: var(--soft); font: .9rem/1.6 system-ui, sans-serif; margin: .5rem 0; }}
p i {{ color: var(--ink); font-style: normal; padding: .1rem .4rem; white-space: nowrap; }}
pre {{ font: inherit; margin: 1rem 0; overflow-wrap: anywhere; white-space: pre-wrap; }}
{levels}
</style>
</head>
<body>
<h1>{title}</h1>
<p>How surprising each token is to the model, in bits. Hold the pointer on one for its number.</p>
<p>{legend}</p>
<pre>"""
_STRENGTHS = (0.18, 0.32, 0.46, 0.6, 0.75, 0.9)


def surprisal_page(title: str, parts: Iterable[Surprisals], tokenizer: Tokenizer) -> Iterator[str]:
    """The page of a text that comes in parts, piece by piece. Pointing at a token shows its bits, and the likeliest
    tokens where the parts have them; the mean stands below the text."""
    levels = "\n".join(f".b{n} {{ background: rgba(var(--heat), {s}); }}" for n, s in enumerate(_STRENGTHS, start=1))
    legend = " ".join(f'<i class="b{n}">{name}</i>' for n, name in enumerate(level_names()))
    yield _HEAD.format(title=escape(escaped(title)), levels=levels, legend=legend)
    total, count, held = 0.0, 0, 0.0
    for part in parts:
        pieces = []
        for place, (text, bits) in enumerate(zip(part.texts, part.bits.tolist(), strict=True)):
            if bits == bits:  # not NaN, which is that of the first token
                total, count, held = total + bits, count + 1, held + bits
            if text:
                pieces.append(_token(text, held, "" if bits != bits else _likeliest(part, place, tokenizer)))
                held = 0.0
        yield "".join(pieces)
    mean = f"{total / count:.4f} bits a token on average, {count:,} tokens after the first" if count else "one token"
    yield f"</pre>\n<p>{mean}.</p>\n</body>\n</html>\n"


def _token(text: str, bits: float, likeliest: str) -> str:
    """Its bits are those of all tokens that make its characters."""
    n = level(bits)
    shown = escape(escaped(text, keep="\n\t"))
    if n:
        shown = shown.replace("\n", f"{LINE_END}\n")
    heat = f' class="b{n}"' if n else ""
    return f'<span{heat} title="{bits:.2f} bits{likeliest}">{shown}</span>'


def _likeliest(part: Surprisals, place: int, tokenizer: Tokenizer) -> str:
    """Lines of a tooltip."""
    tokens, probabilities = part.likeliest[place].tolist(), part.probabilities[place].tolist()
    return "".join(
        f"&#10;{100 * p:.1f}% {escape(escaped(tokenizer.decode([token])))}"
        for token, p in zip(tokens, probabilities, strict=True)
    )
