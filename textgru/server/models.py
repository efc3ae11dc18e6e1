"""The models that a server has, by name: loaded once, and again where the run on the disk has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from textgru.errors import InputError, TextgruError
from textgru.language_model import LanguageModel, load
from textgru.paths import given_path
from textgru.runs.layout import CONFIG, TOKENIZER, WEIGHTS
from textgru.server.engine import Drawn, Engine, Job
from textgru.server.errors import RequestError
from textgru.server.settings import ServerSettings

LOOKED_EVERY = 1.0  # seconds between two looks at a run's files
UNITS = {"char": "char", "byte": "byte"}

log = logging.getLogger("textgru.server")


@dataclass(eq=False)
class Served:
    """A loaded model. `lock`: for what isn't safe from several threads, embedding."""

    name: str
    model: LanguageModel
    engine: Engine
    created: int
    lock: Any = field(default_factory=Lock)

    def facts(self) -> dict[str, Any]:
        """As /v1/models shows it."""
        config, tokenizer, run = self.model.network.config, self.model.tokenizer, self.model.run
        scores = {} if run is None else run.scores
        facts = {
            "tokenizer": tokenizer.kind,
            "unit": UNITS.get(tokenizer.kind, "token"),
            "vocab_size": tokenizer.vocab_size,
            "cell": config.cell,
            "hidden_size": config.hidden_size,
            "num_layers": config.num_layers,
            "precision": self.model.precision,
            "bits_per_char": scores.get("bits_per_char"),
        }
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "textgru", "textgru": facts}


class Models:
    """Models by name. Raises InputError where one can't be read, or two have the same name."""

    def __init__(self, runs: Sequence[str | Path], settings: ServerSettings, precision: str | None = None) -> None:
        self._settings, self._precision = settings, precision
        self._paths: dict[str, Path] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        for run in runs:
            path = given_path("run", run)
            name = path.name if path.name not in ("", "..") else path.resolve().name
            if name in self._paths:
                raise InputError(f"{run}: another run has the name {name} too; rename one")
            self._paths[name] = path
        self._stamps = {name: _stamp(path) for name, path in self._paths.items()}
        self._looked = dict.fromkeys(self._paths, monotonic())
        self._swapping: dict[str, asyncio.Lock] = {}
        self._loads = dict.fromkeys(self._paths, 0)
        self._served = {name: self._load(name) for name in self._paths}

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on what is drawn is handed out in this loop."""
        self._loop = loop

    def names(self) -> list[str]:
        return list(self._served)

    def texts(self) -> dict[str, tuple[int, int]]:
        """(active, waiting) by name."""
        return {name: (one.engine.active, one.engine.waiting) for name, one in self._served.items()}

    def loads(self) -> dict[str, int]:
        """How often each was loaded, by name."""
        return dict(self._loads)

    async def get(self, name: str | None) -> Served:
        """The model of this name, or the only one, as it is on the disk now. Raises RequestError (404)."""
        if name is None and len(self._served) == 1:
            name = next(iter(self._served))
        if name is None:
            raise RequestError(400, f"model: is missing; there are {', '.join(self._served)}", "model")
        if name not in self._served:
            raise RequestError(
                404,
                f"model: there is no {name[:100]!r}; there is {', '.join(self._served)}",
                "model",
                "model_not_found",
            )
        async with self._swapping.setdefault(name, asyncio.Lock()):
            await self._look(name)
        return self._served[name]

    async def _look(self, name: str) -> None:
        """Loads a run again that has changed. One that can't be read leaves the model as it was."""
        if monotonic() - self._looked[name] < LOOKED_EVERY:
            return
        self._looked[name] = monotonic()
        stamp = await asyncio.to_thread(_stamp, self._paths[name])
        if stamp is None or stamp == self._stamps[name]:
            return
        try:
            loaded = await asyncio.to_thread(partial(self._load, name))
        except (TextgruError, OSError) as error:
            log.warning("%s has changed, but can't be loaded; the one before stays: %s", name, error)
            return
        before, self._served[name] = self._served[name], loaded
        self._stamps[name] = stamp
        before.engine.close()  # ends when its texts have ended
        log.info("%s has changed, and was loaded again", name)

    def _load(self, name: str) -> Served:
        path = self._paths[name]
        model = load(path, precision=self._precision)
        model.fingerprint()
        limits = self._settings
        engine = Engine(model.packed(), model.tokenizer, self._deliver, slots=limits.slots, queue=limits.queue)
        self._loads[name] += 1
        return Served(name, model, engine, int((path / WEIGHTS).stat().st_mtime))

    def _deliver(self, found: list[tuple[Job, Drawn]]) -> None:
        """In the engine's thread: hands what was drawn over to the loop."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_hand_out, found)
        except RuntimeError:  # the loop has ended
            for job, _ in found:
                job.cancelled = True

    def close(self) -> None:
        """Ends all engines."""
        for one in self._served.values():
            one.engine.close()


def _hand_out(found: list[tuple[Job, Drawn]]) -> None:
    for job, drawn in found:
        job.outbox(drawn)


def _stamp(path: Path) -> tuple[tuple[int, int, int], ...] | None:
    """What changes when a file of a run is replaced; None where one is missing."""
    try:
        found = [(path / name).stat() for name in (CONFIG, TOKENIZER, WEIGHTS)]
    except OSError:
        return None
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)
