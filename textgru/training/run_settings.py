"""What to train on, and where to: the settings of a training besides those of its network and of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from textgru.training.config import MOST_STEPS
from textgru.training.presets import PRESETS
from textgru.typed import Help, Range, check_fields


@dataclass(frozen=True)
class RunSettings:
    """What to train on, and where to. Raises InputError for values that can't be.

    Names of files are strings or paths, and are checked where they are used; `tokenizer` may also be a Tokenizer.
    Without `vocab_size`, a bpe tokenizer has 1,024 tokens; without `val_fraction`, a tenth of the text is held out, and
    at most 200,000 tokens. `separate_documents` puts a token that ends a document after every file. `cache`: whether
    the encoded text is kept for other trainings, and taken from what was kept (textgru.text.cache). `preset`: a name in
    PRESETS; without it, the size follows from the text and the time (textgru.training.defaults). `init_from`: a run
    whose weights, tokenizer and shape this training starts from. `teachers`: runs whose predictions it learns, with
    their tokenizer. `tensorboard` needs TensorBoard to be installed.
    """

    out: Annotated[
        Any,
        Help("Directory for the run.", "Run", default="runs/NAME of the first file", metavar="RUN", spelled=("-o",)),
    ] = None
    overwrite: Annotated[bool, Help("Replace the run that --out holds.", "Run")] = False
    init_from: Annotated[Any, Help("Start from the weights, tokenizer and network of RUN.", "Run", metavar="RUN")] = (
        None
    )
    teachers: Any = None
    tokenizer: Annotated[
        Any, Help("char, byte, bpe, or the path of a tokenizer.json.", "Text", default="char", metavar="KIND")
    ] = None
    vocab_size: Annotated[int | None, Range(256), Help("Most tokens of a bpe tokenizer.", "Text", default="1024")] = (
        None
    )
    encoding: Annotated[str, Help("Encoding of the text files.", "Text")] = "utf-8"
    val_fraction: Annotated[
        float | None,
        Range(0, 1, below=True),
        Help("Part of the text, from its end, held out to measure on.", "Text", default="0.1, at most 200,000 tokens"),
    ] = None
    separate_documents: Annotated[bool, Help("Every file is a document: a token of its own follows each.", "Text")] = (
        False
    )
    allow_unknown: Annotated[
        bool, Help("Go on where over a tenth of the text is unknown to a tokenizer of another text.", "Text")
    ] = False
    cache: Annotated[bool, Help("Encode the text anew, and keep nothing of it for other trainings.", "Text")] = True
    preset: Annotated[
        str | None,
        Help("Size of the network.", "Network", default="what suits the text and the time", choices=tuple(PRESETS)),
    ] = None
    sample_every: Annotated[
        int | None, Range(1, MOST_STEPS), Help("Show a sample at every Nth evaluation.", "While it runs")
    ] = None
    tensorboard: Annotated[bool, Help("Also write events for TensorBoard, to RUN/tensorboard/.", "While it runs")] = (
        False
    )

    def __post_init__(self) -> None:
        check_fields(self)
