"""textgru info"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from textgru.checkpoint import Run


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
        from textgru.checkpoint import Run

        found = Run.read(run)
        facts = _run_facts(found)
        if not as_json:
            _print_run(found, facts)
            return
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        for name, value in facts.items():
            click.echo(f"{name.replace('_', ' '):16} {', '.join(value) if isinstance(value, list) else value}")


def _system() -> dict[str, Any]:
    from textgru import __version__
    from textgru.core import blas, get_num_threads, products, simd, threads

    return {
        "textgru": __version__,
        "instruction_set": simd.instruction_set(),
        "supported": simd.supported_instruction_sets(),
        "bf16_products": "native" if simd.bf16_is_fast() else "emulated",
        "int8_products": "native" if simd.int8_is_fast() else "plain C",
        "fp32_products": "packed" if products.product_kernels() == "packed" else "BLAS",
        "blas": blas.blas_version(),
        "openmp": "yes" if threads.has_openmp() else "no: built single-threaded",
        "threads": get_num_threads(),
        "cpus": threads.available_cpus(),
    }


def _run_facts(run: Run) -> dict[str, Any]:
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
        "seconds": run.scores.get("seconds"),
        "config": config,
    }


def _print_run(run: Run, facts: dict[str, Any]) -> None:
    from textgru.cli.display import described

    network, training, corpus = run.network, facts["config"].get("training", {}), facts["config"].get("corpus", {})
    lines = [
        ("run", facts["path"]),
        ("network", f"GRU, {described(network)}"),
        ("parameters", f"{facts['parameters']:,}" + (", in 8-bit integers" if run.precision == "int8" else "")),
        ("tokenizer", f"{run.tokenizer.kind}, {network.vocab_size:,} tokens"),
        ("text", ", ".join(corpus.get("files", [])) + f": {corpus.get('characters', 0):,} characters"),
    ]  # fmt: skip
    if facts["step"] is not None:
        lines.append(("trained", f"{facts['step']:,} steps, {facts['tokens_seen']:,} tokens, {facts['epoch']:.2f} "
                      f"epochs, {facts['seconds']:.0f} s (the weights that were kept)"))  # fmt: skip
    if facts["val_loss"] is not None:
        lines.append(("validation", f"{facts['val_loss']:.4f} nats a token, {facts['bits_per_char']:.3f} bits a "
                      f"character, on the last {corpus.get('validation_tokens', 0):,} tokens"
                      + (" (before the weights were quantised)" if run.precision == "int8" else "")))  # fmt: skip
    settings = ", ".join(f"{name} {value:g}" for name, value in training.items() if isinstance(value, (int, float)))
    lines.append(("settings", settings))
    for name, value in lines:
        click.echo(f"{name:11} {value}")
