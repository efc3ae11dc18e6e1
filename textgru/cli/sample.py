"""textgru sample"""

from __future__ import annotations

from dataclasses import fields
from itertools import chain
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from textgru.cli.options import precision_option, threads_option
from textgru.cli.sample_options import AUTO, ITEMS, sample_options
from textgru.cli.setting_options import SectionedCommand, given_settings
from textgru.cli.signals import asked
from textgru.errors import InputError
from textgru.generation.sampling import Sampling
from textgru.generation.stopping import Stopping
from textgru.paths import given_path

if TYPE_CHECKING:
    from textgru.generation.state import State
    from textgru.language_model import LanguageModel

MOST_NAMED = 10
MOST_SAMPLES = 10**12

# What goes together with what draws nothing, or asks at every turn.
WITH_BEAMS = {"prompt", "prompt_file", "escape", "load_state", "length", "beams", "n_best", "length_penalty", "as_json",
              "output", "stop", "stop_at", "adapt"}  # fmt: skip
NOT_INTERACTIVE = (
    "report_novelty",
    "prompts",
    "num_samples",
    "lines",
    "novel",
    "as_json",
    "output",
    "save_state",
    "prompt_file",
)
CONSTRAINTS = {"regex", "grammar_file"}
NAMES = {"as_json": "--json", "texts": "--text", "grammar_file": "--grammar"}


@click.command(short_help="Write text with a trained model.", cls=SectionedCommand)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@sample_options
@precision_option
@threads_option
@click.pass_context
def sample(context: click.Context, /, runs: tuple[str, ...], **options: Any) -> None:
    """Write text with the model in the directory RUN, to standard output, as it is generated. Of several runs with the
    same tokens the predictions are averaged.

    Ctrl-C ends it; what was written stays.
    """
    given = {name for name in context.params if context.get_parameter_source(name) != ParameterSource.DEFAULT}
    _check_together(given, options)
    prompts = _prompts(options)

    from textgru.ensemble_model import load_ensemble
    from textgru.generation.settings import Settings

    _check_folders(options)
    Settings.of(_settings(options))  # what is wrong with it is said first
    model = load_ensemble(runs, precision=options["precision"])
    settings = _settings(options, model)
    if options["adapt"] is not None:
        from textgru.cli.prompts import read_text

        model = model.adapt(read_text(options["adapt"]))
    _warn_of_unknown(model, prompts)
    state = model.load_state(options["load_state"]) if options["load_state"] else None
    if options["beams"]:
        from textgru.cli.beams import print_beams

        print_beams(model, prompts[0], state, options)
        return
    checked = Settings.of(settings)
    checked.constraint.matchers(model.tokenizer, checked.sampling.banned)  # what can't be met is said before a seed
    settings["seed"] = _told_seed(settings["seed"], state, drawn=not checked.sampling.greedy)
    if options["interactive"]:
        from textgru.cli.interactive import converse

        converse(model, prompts[0], state, settings)
        return
    _write(context, model, prompts, state, settings, options)


def _check_folders(options: dict[str, Any]) -> None:
    """Raises InputError where what is to be written has no place, before anything is drawn."""
    for name in ("output", "save_state"):
        if options[name] is not None:
            path = given_path(name, options[name])
            if not path.absolute().parent.is_dir() or path.is_dir():
                raise InputError(f"{path}: can't be written: {'is a' if path.is_dir() else 'no such'} folder")


def _check_together(given: set[str], options: dict[str, Any]) -> None:
    """Raises UsageError for options that make no sense together."""
    if len(prompts := sorted(given & {"prompt", "prompt_file", "prompts"})) > 1:
        raise click.UsageError(f"{' and '.join(map(_spelled, prompts))}: give one of them")
    if options["beams"]:
        if odd := sorted(given - WITH_BEAMS - {"runs", "precision", "threads"}):
            raise click.UsageError(f"--beams draws nothing: leave out {', '.join(map(_spelled, odd))}")
        if options["stop_at"] == "sentence":
            raise click.UsageError("--beams: texts end at a document, a line or a --stop, not at a sentence")
    elif odd := sorted(given & {"n_best", "length_penalty"}):
        raise click.UsageError(f"{', '.join(map(_spelled, odd))}: only with --beams N")
    if options["interactive"] and (odd := [name for name in NOT_INTERACTIVE if name in given]):
        raise click.UsageError(f"--interactive asks for prompts: leave out {', '.join(map(_spelled, odd))}")
    if not options["lines"] and (odd := sorted(given & {"novel", "texts"})):
        raise click.UsageError(f"{', '.join(map(_spelled, odd))}: only with --lines")
    if options["texts"] and not options["novel"]:
        raise click.UsageError("--text: only with --novel")
    if options["lines"] and (odd := sorted(given & {"prompts", "load_state", "save_state", "stop_at"})):
        raise click.UsageError(f"--lines begins each item anew: leave out {', '.join(map(_spelled, odd))}")
    if (options["num_samples"] or 1) > MOST_SAMPLES:
        raise click.UsageError(f"--num-samples: at most {MOST_SAMPLES:,}")
    if options["save_state"] and (options["prompts"] or (options["num_samples"] or 1) > 1):
        raise click.UsageError("--save-state keeps the state of one text: leave out --prompts and --num-samples")
    if len(given & CONSTRAINTS) > 1:
        raise click.UsageError("--regex and --grammar: give one of them")
    if given & CONSTRAINTS and (odd := sorted(given & {"save_state", "interactive"})):
        raise click.UsageError(f"{_spelled(odd[0])} can't keep where a text stands in a --regex or --grammar")
    if options["report_novelty"] and options["lines"]:
        raise click.UsageError("--report-novelty: items of --lines are left out by --novel instead")
    if options["output"] and options["lines"] and "{n}" in options["output"]:
        raise click.UsageError("--lines writes to one file: leave out the {n} of --output")


def _spelled(name: str) -> str:
    return NAMES.get(name, f"--{name.replace('_', '-')}")


def _prompts(options: dict[str, Any]) -> list[str]:
    from textgru.cli.prompts import prompt_of_file, prompts_of_lines, unescaped

    if options["prompt_file"] is not None:
        return [prompt_of_file(options["prompt_file"])]
    prompts = [options["prompt"]] if options["prompts"] is None else prompts_of_lines(options["prompts"])
    return [unescaped(prompt) for prompt in prompts] if options["escape"] else prompts


def _settings(options: dict[str, Any], model: LanguageModel | None = None) -> dict[str, Any]:
    """Those of a generation (textgru.generation.settings). A byte to stop at needs the model."""
    from textgru.cli.prompts import unescaped
    from textgru.cli.token_options import biased_tokens, tokens_with

    others = (*(field.name for field in fields(Stopping)), "seed")
    settings = given_settings(Sampling, options) | {name: options[name] for name in others if name in options}
    if settings.get("temperature") == AUTO:
        settings["temperature"] = Sampling.temperature if model is None else model.calibrated_temperature
    if model is not None:
        breakers = [unescaped(text) if options["escape"] else text for text in options["dry_breakers"]]
        settings["banned"] = tokens_with("--ban", model.tokenizer, options["ban"])
        settings["dry_breakers"] = tokens_with("--dry-sequence-breaker", model.tokenizer, breakers)
        settings["logit_bias"] = biased_tokens(model.tokenizer, options["logit_bias"])
    settings |= _constraint(options)
    if options["escape"]:
        settings["stop"] = tuple(map(unescaped, settings["stop"]))
    if options["lines"]:
        settings["stop_at"] = "line"
    if options["stop_byte"] is not None and model is not None:
        if model.tokenizer.kind == "byte":
            settings["stop_tokens"] = (options["stop_byte"],)
        elif options["stop_byte"] < 0x80:
            settings["stop"] = (*settings["stop"], chr(options["stop_byte"]))
        else:
            raise InputError("--stop-byte: only a byte model draws such a byte alone; use --stop or --stop-regex")
    return settings


def _constraint(options: dict[str, Any]) -> dict[str, str]:
    """What the text has to match. A grammar is a JSON schema where its file's name ends with .json."""
    from textgru.cli.prompts import read_text

    if options["regex"] is not None:
        return {"regex": options["regex"]}
    if (file := options["grammar_file"]) is None:
        return {}
    return {"json_schema" if file.lower().endswith(".json") else "grammar": read_text(file)}


def _warn_of_unknown(model: LanguageModel, prompts: list[str]) -> None:
    from textgru.text.files import normalise

    unknown = list(
        dict.fromkeys(chain.from_iterable(model.tokenizer.unknown_characters(normalise(text)) for text in prompts))
    )
    if unknown:
        shown = ", ".join(map(ascii, unknown[:MOST_NAMED])) + (", ..." if len(unknown) > MOST_NAMED else "")
        click.echo(f"textgru: warning: the model has never seen {shown}: taken as the unknown token", err=True)


def _told_seed(seed: int | None, state: State | None, *, drawn: bool) -> int | None:
    """The seed: that which was given, or a random one, which is told; none where a state has random numbers."""
    if seed is not None or (state is not None and state.random is not None):
        return seed
    import numpy as np

    seed = int(np.random.SeedSequence().entropy) % 2**32  # type: ignore[arg-type]
    if drawn:
        click.echo(f"seed {seed}", err=True)
    return seed


def _write(
    context: click.Context,
    model: LanguageModel,
    prompts: list[str],
    state: State | None,
    settings: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Draws the texts and writes them, until they have ended or a signal comes."""
    from textgru.cli.drawing import drawn
    from textgru.cli.items import training_items, write_items
    from textgru.cli.samples import in_order, printer_to
    from textgru.generation.generate import Pieces

    prompt, count = prompts[0], options["num_samples"]
    stopped: list[int] = []
    written: dict[int, list[str]] = {}

    def stop(number: int) -> None:
        stopped.append(number)
        pieces.stop()

    printer = printer_to(options["output"], as_json=options["as_json"], lines=options["lines"])
    begun, each = (["\n" + prompt if prompt else ""], None) if options["lines"] else (prompts, count or 1)
    with (
        drawn(model, begun, each, state, {"log_probabilities": options["as_json"], **settings}) as pieces,
        asked(stop),
    ):
        if options["lines"]:
            known = training_items(model, options["texts"]) if options["novel"] else None
            write_items(pieces, printer, prompt, count or ITEMS, known)
        else:
            for piece in in_order(pieces) if printer.ordered else pieces:
                printer.piece(piece, prompts[piece.number // (count or 1)])
                if options["report_novelty"]:
                    written.setdefault(piece.number, []).append(piece.text)
        printer.end()
        if options["save_state"]:
            assert isinstance(pieces, Pieces)  # a text alone
            pieces.state.save(options["save_state"])
    if texts := ["".join(parts) for parts in written.values() if any(parts)]:
        _report_novelty(model, texts)
    if stopped:
        click.echo("textgru: stopped", err=True)
        context.exit(128 + stopped[0])


def _report_novelty(model: LanguageModel, texts: list[str]) -> None:
    """How much of the texts, without their prompts, stands in the text that the model was trained on."""
    from textgru.analysis.novelty import novelty
    from textgru.cli.novelty import novelty_lines

    assert model.run is not None
    click.echo("\n".join(novelty_lines(novelty(texts, model.run))), err=True)
