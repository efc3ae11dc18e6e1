"""A training's events for TensorBoard, in RUN/tensorboard/, by the tensorboard package's own writer."""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

from textgru.errors import InputError, TextgruError
from textgru.training.events import CheckpointEvent, EndEvent, EvaluationEvent, Event, StepEvent

FOLDER = "tensorboard"
FLUSH_SECONDS = 10


class TensorBoardLog:
    """Writes a training's events; of the steps, every `every`-th. Raises InputError without the tensorboard package.

    The package's writer opens its file by name for each piece that it writes, so nothing is written before the run is
    in its place: until then events wait in memory. With `goes_on` the log of a resumed training hides the events that
    were written after the checkpoint, by a SessionLog, which tensorboard.summary.Writer has no call for.
    """

    def __init__(self, every: int, *, goes_on: bool = False) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer import event_file_writer
        except ImportError as error:
            raise InputError(
                "events for TensorBoard need its package, which isn't installed: pip install tensorboard"
            ) from error
        self._events, self._summaries, self._writers = event_pb2, summary_pb2, event_file_writer
        self._every, self._goes_on = every, goes_on
        self._waiting: list[Any] = []
        self._writer: Any = None

    def add(self, event: Event, run: Path | None) -> None:
        """Takes an event; writes it and those that waited if the run has a place yet. Raises TextgruError."""
        if self._goes_on and isinstance(event, StepEvent):
            self._goes_on = False
            started = self._events.SessionLog(status=self._events.SessionLog.START)
            self._waiting.append(self._events.Event(wall_time=time(), step=event.step, session_log=started))
        if numbers := self._numbers(event):
            values = [self._summaries.Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
            summary = self._summaries.Summary(value=values)
            self._waiting.append(self._events.Event(wall_time=time(), step=event.step, summary=summary))
        if run is None:
            return
        try:
            if self._writer is None:
                self._writer = self._writers.EventFileWriter(str(run / FOLDER), flush_secs=FLUSH_SECONDS)
            while self._waiting:
                self._writer.add_event(self._waiting.pop(0))
            if isinstance(event, (CheckpointEvent, EndEvent)):
                self._writer.flush()
        except OSError as error:
            raise TextgruError(f"{run / FOLDER}: can't be written: {error.strerror}") from error

    def close(self) -> None:
        """Writes what is left and closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _numbers(self, event: Event) -> dict[str, float]:
        """What TensorBoard shows of an event, by tag."""
        if isinstance(event, StepEvent) and event.step % self._every == 0:
            return {
                "loss/train": event.loss,
                "learning_rate": event.learning_rate,
                "gradient_norm": event.gradient_norm,
                "tokens_per_second": event.tokens_per_second,
            }
        if isinstance(event, EvaluationEvent) and event.val_loss is not None and event.bits_per_char is not None:
            return {"loss/validation": event.val_loss, "bits_per_char/validation": event.bits_per_char}
        return {}
