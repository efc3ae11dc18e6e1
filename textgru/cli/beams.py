"""textgru sample --beams: the likeliest texts, the best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textgru.cli.json_output import as_json
from textgru.cli.prompts import unescaped
from textgru.cli.samples import BETWEEN, NUMBER, Target
from textgru.errors import InputError
from textgru.generation.stopping import DEFAULT_LENGTH
from textgru.paths import given_path

if TYPE_CHECKING:
    from textgru.generation.state import State
    from textgru.language_model import LanguageModel


def print_beams(model: LanguageModel, prompt: str, state: State | None, options: dict[str, Any]) -> None:
    """Searches, and writes what was found as the other texts are."""
    length = DEFAULT_LENGTH if options["length"] is None else options["length"]
    output, stop = options["output"], options["stop"]
    if output is not None and NUMBER in output:
        raise InputError("--beams writes to one file: leave out the {n} of --output")
    target = Target(None if output is None else given_path("output", output))
    found = model.beam_search(
        prompt, state=state, width=options["beams"], n_best=options["n_best"], length=length,
        length_penalty=options["length_penalty"], stop=tuple(map(unescaped, stop)) if options["escape"] else stop,
        stop_at=options["stop_at"],
    )  # fmt: skip
    for number, (text, one) in enumerate(found):
        if options["as_json"]:
            facts = {
                "number": number + 1, "prompt": prompt, "text": text, "tokens": list(one.tokens),
                "log_probability": one.log_probability, "score": one.score, "finish_reason": one.finish_reason,
            }  # fmt: skip
            target.write(as_json(facts) + "\n")
        else:
            target.write((f"{BETWEEN}\n" if number else "") + prompt + text + "\n")
    target.close()
