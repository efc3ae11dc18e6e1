"""The options of textgru sample, under their headings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from textgru.cli.setting_options import SectionedOption, setting_options
from textgru.generation.sampling import Sampling
from textgru.typed import Section

Function = TypeVar("Function", bound=Callable[..., Any])

ITEMS = 10  # with --lines
AUTO = "auto"  # the temperature that the run's validation text calls for


class Temperature(click.FloatRange):
    """A number from 0 up, or "auto"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == AUTO else super().convert(value, param, ctx)


def _option(section: Section, *names: str, **more: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=SectionedOption, section=section, **more)


OPTIONS = [
    _option("Prompt", "--prompt", "-p", default="", metavar="TEXT", help="Text to go on from."),
    _option("Prompt", "--prompt-file", metavar="FILE", help='The prompt is the text of FILE; "-" is standard input.'),
    _option(
        "Prompt", "--prompts", metavar="FILE", help='A text for each line of FILE ("-": standard input) as a prompt.'
    ),
    _option(
        "Prompt",
        "--escape",
        "-e",
        is_flag=True,
        help=r"\n, \t, \\, \u00e9 in --prompt, --prompts, --stop and --dry-sequence-breaker.",
    ),
    _option(
        "Prompt", "--adapt", metavar="FILE", help='Read FILE first ("-": standard input), and write in its manner.'
    ),
    _option("Prompt", "--load-state", metavar="FILE", help="Go on exactly where --save-state stopped."),
    _option(
        "Sampling",
        "--seed",
        "-s",
        type=click.IntRange(0, 2**63 - 1),
        metavar="N",
        shown_default="random",
        help="Same seed, same text.",
    ),
    _option(
        "Sampling",
        "--num-samples",
        type=click.IntRange(1),
        metavar="N",
        shown_default=f"1; {ITEMS} with --lines",
        help='How many texts (of each prompt), drawn side by side; a line "---" stands between two.',
    ),
    _option(
        "Sampling",
        "--ban",
        multiple=True,
        metavar="TEXT",
        help="Never draw a token with this text in it; repeatable.",
    ),
    _option(
        "Repetition",
        "--dry-sequence-breaker",
        "dry_breakers",
        multiple=True,
        metavar="TEXT",
        help="DRY looks for no repetition across a token with this text in it; repeatable.",
    ),
    _option(
        "Sampling",
        "--logit-bias",
        "logit_bias",
        multiple=True,
        metavar="TEXT=X",
        help="Add X to the score of the token that is this text (or of token number N: #N=X); repeatable.",
    ),
    _option(
        "Where it ends",
        "--length",
        "-n",
        type=click.IntRange(0),
        metavar="N",
        shown_default="500, or none with --length-chars",
        help="New tokens.",
    ),
    _option("Where it ends", "--length-chars", type=click.IntRange(0), metavar="N", help="New characters."),
    _option(
        "Where it ends",
        "--stop",
        multiple=True,
        metavar="TEXT",
        help="Before this text, which isn't shown; repeatable.",
    ),
    _option(
        "Where it ends",
        "--stop-at",
        type=click.Choice(["document", "line", "sentence"]),
        default="document",
        show_default=True,
        help="At the end of the next one.",
    ),
    _option(
        "Where it ends",
        "--stop-regex",
        metavar="REGEX",
        help="With the first match of a regular expression (Python's), looked for in the last 1,000 characters.",
    ),
    _option(
        "Where it ends",
        "--stop-byte",
        type=click.IntRange(0, 255),
        metavar="N",
        help="Before this byte.",
    ),
    _option(
        "What it matches",
        "--regex",
        metavar="REGEX",
        help="The new text matches a regular expression from its start to its end (pip install 'textgru[grammar]').",
    ),
    _option(
        "What it matches",
        "--grammar",
        "grammar_file",
        metavar="FILE",
        help="The same for the grammar in FILE (Lark), or the JSON schema in FILE.json.",
    ),
    _option(
        "Beam search", "--beams", type=click.IntRange(1, 4096), metavar="N", help="The likeliest text, by N beams."
    ),
    _option(
        "Beam search", "--n-best", type=click.IntRange(1, 4096), default=1, metavar="K", help="The K likeliest texts."
    ),
    _option(
        "Beam search",
        "--length-penalty",
        type=click.FloatRange(0, 100),
        default=0.6,
        show_default=True,
        metavar="X",
        help="0 favours short texts, 1 long ones (Wu et al. 2016).",
    ),
    _option(
        "Many short items", "--lines", is_flag=True, help="One item a line, for texts that are lists: names, titles."
    ),
    _option("Many short items", "--novel", is_flag=True, help="With --lines: none of the training text, none twice."),
    _option(
        "Many short items",
        "--text",
        "texts",
        multiple=True,
        metavar="FILE",
        shown_default="as the run says",
        help="Where the training text is; repeatable.",
    ),
    _option("Output", "--interactive", "-i", is_flag=True, help="Ask for a prompt, go on from there, and so on."),
    _option("Output", "--json", "as_json", is_flag=True, help="A line of JSON for each text."),
    _option(
        "Output", "--output", "-o", metavar="FILE", help="Write to FILE; with {n} in its name, a file for each text."
    ),
    _option(
        "Output",
        "--report-novelty",
        is_flag=True,
        help="Then say, on standard error, how much stands in the training text (textgru novelty).",
    ),
    _option("Output", "--save-state", metavar="FILE", help="Keep where the text ended, for --load-state."),
]


def sample_options(function: Function) -> Function:
    """All of them: those of Sampling, which are made from it, and the others."""
    for option in reversed([setting_options(Sampling, temperature=Temperature(0)), *OPTIONS]):
        function = option(function)
    return function
