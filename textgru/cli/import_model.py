"""textgru import"""

from __future__ import annotations

import click


@click.command("import", short_help="Make a run of a PyTorch model.")
@click.argument("weights", metavar="WEIGHTS")
@click.option(
    "--tokenizer", required=True, metavar="FILE", help="Its tokenizer.json, or a JSON of its characters and their ids."
)
@click.option("--out", "-o", required=True, metavar="RUN", help="Directory for the run.")
@click.option("--overwrite", is_flag=True, help="Replace the run that --out holds.")
@click.option(
    "--prefix", metavar="NAME", help="The recurrent layers are NAME.weight_ih_l0 ...; where there are several."
)
@click.option("--embedding", metavar="NAME", help="The name of the embedding; where it can't be told.")
@click.option("--output", metavar="NAME", help="The name of the output layer; where it can't be told.")
def import_model(
    weights: str,
    tokenizer: str,
    out: str,
    overwrite: bool,
    prefix: str | None,
    embedding: str | None,
    output: str | None,
) -> None:
    """Make a run of the state dict in WEIGHTS, a .safetensors or .pt file of a language model in PyTorch: an
    nn.Embedding (or one-hot inputs), an nn.GRU, nn.LSTM or nn.RNN, and an nn.Linear. Nothing in the file is
    executed."""
    from textgru.exchange.imports import Names, import_model
    from textgru.paths import shown_path

    model = import_model(weights, tokenizer, Names(prefix, embedding, output))
    model.save(out, overwrite=overwrite)
    config = model.network.config
    click.echo(
        f"saved in   {shown_path(out)}: {config.cell}, {config.num_layers} x {config.hidden_size} units, "
        f"{config.vocab_size:,} tokens; write with: textgru sample {shown_path(out)}"
    )
