"""A text in the terminal, each token in the colour of its surprisal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from textgru.analysis.surprisal import LINE_END, Surprisals, level, level_names
from textgru.errors import escaped

# By level. What was expected stays as it is; black letters on a background of their own are readable on any terminal.
STYLES = ("", *(f"black on {colour}" for colour in ("#fff3b0", "#ffe066", "#ffc24b", "#ff9d45", "#ff7a5c", "#ff5c8a")))


class Heat:
    """Prints parts of a text as they come."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._held = 0.0  # bits of tokens that don't make a whole character yet
        self._line_is_open = False

    @property
    def has_colours(self) -> bool:
        """Whether standard output is a terminal that shows colours, and NO_COLOR isn't set."""
        return self._console.is_terminal and self._console.color_system is not None and not self._console.no_color

    def print(self, part: Surprisals) -> None:
        """The next tokens."""
        text = Text()
        for piece, bits in zip(part.texts, part.bits.tolist(), strict=True):
            self._held += bits if bits == bits else 0.0  # NaN: the first token
            if not piece:
                continue
            style = STYLES[level(self._held)]
            shown = escaped(piece, keep="\n\t")
            text.append(shown.replace("\n", f"{LINE_END}\n") if style else shown, style)
            self._held, self._line_is_open = 0.0, not piece.endswith("\n")
        self._console.print(text, end="", soft_wrap=True)

    def print_legend(self) -> None:
        """What the colours mean, under the text."""
        legend = Text("\n\n" if self._line_is_open else "\n")
        for name, style in zip(level_names(), STYLES, strict=True):
            legend.append(f" {name} ", style)
        self._console.print(legend.append(" bits"), soft_wrap=True)
