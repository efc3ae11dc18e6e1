"""textgru info"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from textgru.cli.json_output import print_json

if TYPE_CHECKING:
    from textgru.runs.run import Run


@click.command(short_help="Say what a trained model is.")
@click.argument("run", metavar="RUN", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--system", is_flag=True, help="What textgru uses of this machine, instead of a run.")
def info(run: str | None, as_json: bool, system: bool) -> None:
    """Say what the model in the directory RUN is, how it was trained and how good it is."""
    if system == (run is not None):
        raise click.UsageError("give a RUN or --system")
    if run is None:
        facts = _system()
    else:
        from textgru.runs.run import Run

        found = Run.read(run)
        facts = _run_facts(found)
        if not as_json:
            _print_run(found, facts)
            return
    if as_json:
        print_json(facts)
    else:
        for name, value in facts.items():
            click.echo(f"{name.replace('_', ' '):16} {', '.join(value) if isinstance(value, list) else value}")


def _system() -> dict[str, Any]:
    from textgru import __version__
    from textgru.core import get_num_threads, products, simd, threads

    return {
        "textgru": __version__,
        "instruction_set": simd.instruction_set(),
        "supported": simd.supported_instruction_sets(),
        "bf16_products": "native" if simd.bf16_is_fast() else "emulated",
        "int8_products": "native" if simd.int8_is_fast() else "plain C",
        "fp32_products": "packed" if products.product_kernels() == "packed" else "BLAS",
        "blas": products.blas_version(),
        "openmp": "yes" if threads.has_openmp() else "no: built single-threaded",
        "threads": get_num_threads(),
        "cpus": threads.available_cpus(),
    }


def _run_facts(run: Run) -> dict[str, Any]:
    from textgru.runs.metrics import training_seconds

    config = {name: value for name, value in run.config.items() if name != "format_version"}
    return {
        "path": str(run.path),
        "format_version": run.config["format_version"],
        "parameters": run.network.parameter_count(),
        "vocab_size": run.network.vocab_size,
        "precision": run.precision,
        "val_loss": run.scores.get("val_loss"),
        "bits_per_char": run.scores.get("bits_per_char"),
        "train_loss": run.scores.get("train_loss"),
        "step": run.scores.get("step"),
        "epoch": run.scores.get("epoch"),
        "tokens_seen": run.scores.get("tokens_seen"),
        "temperature": run.scores.get("temperature"),
        "seconds": training_seconds(run),
        "config": config,
    }


def _print_run(run: Run, facts: dict[str, Any]) -> None:
    from textgru.cli.display import described

    network, training, corpus, scores = run.network, run.record.training or {}, run.record.corpus, run.scores
    lines = [
        ("run", facts["path"]),
        ("network", described(network)),
        ("parameters", f"{facts['parameters']:,}" + (", in 8-bit integers" if run.precision == "int8" else "")),
        ("tokenizer", f"{run.tokenizer.kind}, {network.vocab_size:,} tokens"),
    ]
    if corpus is not None:
        lines.append(("text", f"{', '.join(corpus.files)}: {corpus.characters:,} characters"))
    if scores.get("step") is not None:
        parts = [f"{scores['step']:,} steps"]
        parts += [f"{scores['tokens_seen']:,} tokens"] if scores.get("tokens_seen") is not None else []
        parts += [f"{scores['epoch']:.2f} epochs"] if scores.get("epoch") is not None else []
        parts += [f"{facts['seconds']:.0f} s"] if facts["seconds"] is not None else []
        lines.append(("trained", f"{', '.join(parts)} (the weights that were kept)"))
    if scores.get("val_loss") is not None:
        bits = scores.get("bits_per_char")
        parts = [f"{scores['val_loss']:.4f} nats a token"]
        parts += [f"{bits:.3f} bits a character"] if bits is not None else []
        parts += [f"on the last {corpus.validation_tokens:,} tokens"] if corpus is not None else []
        note = " (before the weights were quantised)" if run.precision == "int8" else ""
        lines.append(("validation", ", ".join(parts) + note))
    if scores.get("temperature") is not None:
        lines.append(("temperature", f"{scores['temperature']:.3f} suits the validation text (--temperature auto)"))
    settings = ", ".join(f"{name} {value:g}" for name, value in training.items() if isinstance(value, (int, float)))
    lines.append(("settings", settings))
    for name, value in lines:
        click.echo(f"{name:11} {value}")
