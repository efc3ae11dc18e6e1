"""What stands in the JSON of a run, with its types and ranges: all that is read of it is held against this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from textgru.typed import MismatchError, Range, shown

Count = Annotated[int, Range(0, 2**53)]
Seconds = Annotated[float, Range(0, 1e11)]
Loss = Annotated[float, Range(-1e40, 1e40)]  # float32 ends below


@dataclass(frozen=True)
class CorpusRecord:
    """The text that a run was trained on; `bytes` and `sha256` are those of the file of its token ids."""

    files: list[str]
    characters: Count
    train_tokens: Count
    validation_tokens: Count
    separate_documents: bool = False
    bytes: Annotated[int | None, Range(0, 2**53)] = None
    sha256: str | None = None


@dataclass(frozen=True)
class Scores:
    """Those of the saved weights, where they have been evaluated. `temperature`: see
    textgru.analysis.temperature."""

    step: Annotated[int | None, Range(0, 2**53)] = None
    epoch: Annotated[float | None, Range(0, 1e15)] = None
    tokens_seen: Annotated[int | None, Range(0, 2**63)] = None
    train_loss: Annotated[float | None, Range(-1e40, 1e40)] = None
    val_loss: Annotated[float | None, Range(-1e40, 1e40)] = None
    bits_per_char: Annotated[float | None, Range(-1e40, 1e40)] = None
    seconds: Annotated[float | None, Range(0, 1e11)] = None
    temperature: Annotated[float | None, Range(0, above=True)] = None


@dataclass(frozen=True)
class WeightsRecord:
    """How the weights are stored."""

    precision: Literal["fp32", "int8"]


@dataclass(frozen=True)
class TokenizerRecord:
    """What the tokenizer is."""

    kind: str


@dataclass(frozen=True)
class TeacherRecord:
    """A run whose predictions were learned, and the hash of its weights and tokenizer."""

    run: str
    sha256: str


@dataclass(frozen=True)
class ConfigRecord:
    """config.json. `network` and `training` are settings by name, which their own classes check further; `seconds` is
    how long the training of a saved copy took; `learned` are the files that `textgru learn` added."""

    format_version: int
    network: dict[str, Any]
    tokenizer: TokenizerRecord | None = None
    training: dict[str, Any] | None = None
    corpus: CorpusRecord | None = None
    weights: WeightsRecord = WeightsRecord("fp32")
    preset: str | None = None
    sample_every: Annotated[int | None, Range(1, 2**53)] = None
    tensorboard: bool = False
    init_from: str | None = None
    learned: list[str] | None = None
    teachers: list[TeacherRecord] | None = None
    seconds: Annotated[float | None, Range(0, 1e11)] = None

    def __post_init__(self) -> None:
        for name, value in (self.training or {}).items():
            if isinstance(value, (dict, list)) or (isinstance(value, int) and not -(2**63) <= value < 2**64):
                raise MismatchError(f"training.{name}: expected a setting, got {shown(value)}")


@dataclass(frozen=True)
class StepRecord:
    """A line of metrics.jsonl after a training step."""

    step: Count
    loss: Loss
    learning_rate: Annotated[float, Range(0, 1e40)]
    tokens_seen: Count
    seconds: Seconds


@dataclass(frozen=True)
class EvaluationRecord:
    """A line of metrics.jsonl after an evaluation."""

    step: Count
    train_loss: Loss
    tokens_seen: Count
    seconds: Seconds
    val_loss: Annotated[float | None, Range(-1e40, 1e40)] = None
