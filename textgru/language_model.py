"""A trained model in a program's hands: generate, stream, perplexity."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from textgru.analysis.dynamic import DynamicSettings, follow_text, followed_surprisals, follower_of
from textgru.analysis.embeddings import embed
from textgru.analysis.evaluate import Score, evaluate
from textgru.analysis.line_scores import LineScore, LineScorer
from textgru.analysis.surprisal import Surprisals, joined, surprisals
from textgru.core import PackedNetwork
from textgru.distributed.ranks import Ranks
from textgru.errors import InputError, percent
from textgru.generation.beam import BeamSettings, Hypothesis, StopStrings, beam_search
from textgru.generation.draws import Row
from textgru.generation.generate import Pieces, random_numbers
from textgru.generation.settings import GenerationSettings, Settings
from textgru.generation.starts import Start, begin, follow
from textgru.generation.state import RandomState, State, start_of, state_of
from textgru.generation.stopping import Stopping
from textgru.generation.stream import Stream
from textgru.generation.text import text_of
from textgru.model.network import Network
from textgru.paths import given_path
from textgru.runs.metrics import training_seconds
from textgru.runs.run import Run, network_settings
from textgru.runs.writer import NewRun
from textgru.text.files import normalise
from textgru.text.tokenizer import Tokenizer
from textgru.typed import shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

PRECISIONS = ("fp32", "bf16", "int8")
STORED_PRECISIONS = ("fp32", "int8")


class LanguageModel:
    """A network and its tokenizer.

        model = textgru.load("runs/demo")
        print(model.generate("Once", length=300, seed=1))

    `run` is the run that it came from, or None. `precision` "int8" generates and scores with weights as 8-bit
    integers, "bf16" as bfloat16: faster, the loss within a thousandth or so (docs/precision.md). All methods that
    generate and score may be called from several threads at once. They work with weights that are packed at their
    first use: after a change of the network's weights call `repack`.
    """

    def __init__(
        self, network: Network, tokenizer: Tokenizer, run: Run | None = None, *, precision: str = "fp32"
    ) -> None:
        _check_precision(precision)
        self.network = network
        self.tokenizer = tokenizer
        self.run = run
        self.precision = precision
        self._packed: dict[str, PackedNetwork] = {}  # by precision
        self._fingerprint: str | None = None  # of what is packed
        self._packing = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """A copy packs its own weights."""
        own = ("_packed", "_packing", "_fingerprint")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _packed={}, _packing=threading.Lock(), _fingerprint=None)

    def packed(self) -> PackedNetwork:
        """The network's weights in the model's precision, for sessions (textgru.core.Session); packed once."""
        _check_precision(self.precision)
        with self._packing:
            if self.precision not in self._packed:
                self._packed[self.precision] = self.network.pack(self.precision)
            return self._packed[self.precision]

    def repack(self) -> None:
        """From now on the weights are what they are now. Texts that are being streamed go on with those before."""
        with self._packing:
            self._packed, self._fingerprint = {}, None

    @overload
    def generate(self, prompt: str = ..., **settings: Unpack[GenerationSettings]) -> str: ...
    @overload
    def generate(self, prompt: list[str] | tuple[str, ...], **settings: Unpack[GenerationSettings]) -> list[str]: ...
    def generate(
        self, prompt: str | list[str] | tuple[str, ...] = "", **settings: Unpack[GenerationSettings]
    ) -> str | list[str]:
        """The prompt and the new text after it; for several prompts a list, drawn side by side. Settings: stream.

        Each of several texts has random numbers of its own, spawned from the seed and its number; the first has those
        that it would have alone. A text is the same in any company.
        """
        if not isinstance(prompt, (list, tuple)):
            return self.generate([prompt], **settings)[0]
        texts = [[_checked(one)] for one in prompt]
        for piece in self.pieces(prompt, **settings):
            texts[piece.number].append(piece.text)
        return ["".join(parts) for parts in texts]

    def stream(self, prompt: str = "", *, state: State | None = None, **settings: Unpack[GenerationSettings]) -> Stream:
        """Yields the new text after the prompt piece by piece, without the prompt, whose line ends are read as those of
        the training's text were (textgru.text.files.normalise).

        It ends after `length` new tokens (default 500) or `length_chars` characters, before a string in `stop`, at a
        `stop_at` ("line", "sentence"), with a match of `stop_regex`, and where the model ends a document
        (separate_documents); without a prompt such a model starts one (textgru.generation.stopping.Stopping).
        With `regex`, `grammar` or `json_schema` the new text matches it, from its start to its end, unless it ends
        by its length (textgru.generation.constraints.Constraint).
        `temperature` (default 0.8) 0 takes the likeliest token each time, "auto" is `calibrated_temperature`; all other
        controls, such as `top_p` and `repetition_penalty`, are those of textgru.generation.sampling.Sampling. The same
        `seed` gives the same text.

        It goes on from `state`, if one is given: what `prime`, `load_state` or a stream's `state` gave; without a
        `seed` also with the random numbers of that stream. The stream's `finish_reason` says why it ended.

        Raises InputError (a ValueError) for values that can't be.
        """
        sampling, stopping, constraint, seed = self._settings(settings)
        matchers = constraint.matchers(self.tokenizer, sampling.banned)
        start = self._start(_checked(prompt), state)
        rng = next(random_numbers(_seed(seed, state)))
        return Stream(self.packed(), self.tokenizer, start, rng, sampling, stopping, self.fingerprint(), matchers)

    async def astream(
        self, prompt: str = "", *, state: State | None = None, **settings: Unpack[GenerationSettings]
    ) -> AsyncGenerator[str, None]:
        """The same for asyncio: computes in a thread, some tokens at a time. Where it is cancelled or closed, it ends
        after those that are being drawn."""
        import asyncio  # takes longer than all else that is imported here

        source = self.pieces([prompt], state=state, **settings)
        loop = asyncio.get_running_loop()
        try:
            while True:
                drawn = loop.run_in_executor(None, next, source, None)
                try:
                    piece = await asyncio.shield(drawn)
                except asyncio.CancelledError:
                    await asyncio.wait([drawn])
                    raise
                if piece is None:
                    return
                if piece.text:
                    yield piece.text
        finally:
            source.close()

    def pieces(
        self,
        prompts: Iterable[str],
        *,
        state: State | None = None,
        log_probabilities: bool = False,
        ranks: Ranks | None = None,
        **settings: Unpack[GenerationSettings],
    ) -> Pieces:
        """Yields the new text of many prompts, which may come without end, piece by piece, as it is drawn: up to 64
        side by side. A piece says which of them it belongs to, its tokens, and in the last one why the text ended; the
        pieces of one text come in their order.

        `log_probabilities`: with the natural logarithms of the tokens' probabilities by the model itself, at
        temperature 1 and without any other control. Of `ranks` each has its share of the texts, which are
        dealt in turn. Settings: stream.
        """
        if isinstance(prompts, str):
            raise InputError(f"prompts: expected several strings, got {shown(prompts)}; give a list")
        sampling, stopping, constraint, seed = self._settings(settings)
        rank, size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
        numbers = islice(random_numbers(_seed(seed, state)), rank, None, size)
        starts = self._starts(islice(prompts, rank, None, size), state)
        packed = self.packed()
        return Pieces(
            packed, self.tokenizer, zip(starts, numbers, strict=False), sampling, stopping,
            log_probabilities=log_probabilities, model=self.fingerprint(),
            matchers=constraint.matchers(self.tokenizer, sampling.banned), numbers=count(rank, size),
        )  # fmt: skip

    def beam_search(
        self,
        prompt: str = "",
        *,
        state: State | None = None,
        width: int = 4,
        n_best: int = 1,
        length: int = 500,
        length_penalty: float = 0.6,
        stop: str | Sequence[str] = (),
        stop_at: Literal["document", "line"] = "document",
    ) -> list[tuple[str, Hypothesis]]:
        """The likeliest texts after the prompt, as far as a beam of this width finds them, the best first: the new text
        of each, and its tokens, log-probability, score and reason to end (textgru.generation.beam). A text ends before
        the first of the strings of `stop`, or with stop_at "line" before the next line end, which are not in it.

        Raises InputError (a ValueError) for values that can't be.
        """
        settings = BeamSettings(width, n_best, length, length_penalty)
        stopping = Stopping(length, stop=(stop,) if isinstance(stop, str) else tuple(stop), stop_at=stop_at)
        start = self._start(_checked(prompt), state)
        tokenizer = self.tokenizer
        found = beam_search(
            self.packed(), start, settings, eos=tokenizer.eos_id, never=tokenizer.unk_id,
            stop=StopStrings.of(stopping, tokenizer),
        )  # fmt: skip
        return [(text_of(tokenizer, start, one.tokens, stopping), one) for one in found]

    def adapt(self, text: str, *, rate: float = 5e-4, segment: int = 64) -> LanguageModel:
        """A model whose weights have followed a text as it was read, once: it then writes and scores more in its manner
        (textgru.analysis.dynamic). This one stays as it is. `rate` is about how far a weight moves at a step of
        `segment` tokens.

        Raises InputError (a ValueError) for values that can't be and for a text of fewer than two tokens, TextgruError
        where the loss is no longer finite.
        """
        settings = DynamicSettings(rate, segment)
        tokens = self.tokenizer.encode(normalise(_checked(text)))
        if len(tokens) < 2:
            raise InputError("text: too little to follow; give at least two tokens")
        network = follower_of(self.network)
        follow_text(network, tokens, settings)
        return LanguageModel(network, self.tokenizer, precision=self.precision)

    def prime(self, text: str = "", state: State | None = None) -> State:
        """The state after a text, for stream; after `state` and the text, if one is given. Without both it is where
        generate begins without a prompt."""
        start = self._start(_checked(text), state)
        row = Row(start.state, start.token, np.random.default_rng(0), start.memory)
        primed = state_of(row, self.packed(), self.fingerprint())
        return replace(primed, random=None if state is None else state.random)

    def load_state(self, path: str | Path) -> State:
        """The state in a file that State.save wrote. Raises InputError (a ValueError) unless it is this model's."""
        state = State.read(path)
        try:
            start_of(state, self.packed(), self.fingerprint())
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        return state

    @property
    def calibrated_temperature(self) -> float:
        """The temperature at which the run's model is as sure as it is right, by its validation text
        (textgru.analysis.temperature): what temperature="auto" stands for. Raises InputError (a ValueError) where it
        isn't known."""
        found = None if self.run is None else self.run.scores.get("temperature")
        if found is None:
            raise InputError(
                "temperature: auto isn't known of this model, which was trained without a validation text, or by "
                "an earlier version; give a number"
            )
        return float(found)

    def _settings(self, given: Mapping[str, Any]) -> Settings:
        """Those of a generation. Raises InputError."""
        if given.get("temperature") == "auto":
            given = {**given, "temperature": self.calibrated_temperature}
        return Settings.of(given)

    def fingerprint(self) -> str:
        """The SHA-256 of the weights and the tokenizer, in hexadecimal; computed once, and again after repack."""
        self.packed()
        with self._packing:
            if self._fingerprint is None:
                digest = hashlib.sha256(self.network.config.cell.encode())
                for name, array in self.network.named_parameters().items():
                    digest.update(name.encode())
                    digest.update(np.ascontiguousarray(array).data)
                digest.update(self.tokenizer.to_json().encode())
                self._fingerprint = digest.hexdigest()
            return self._fingerprint

    def _start(self, prompt: str, state: State | None) -> Start:
        prompt, packed = normalise(prompt), self.packed()
        if state is None:
            return begin(packed, self.tokenizer, prompt, from_eos=self.reads_documents)
        if not isinstance(state, State):
            raise InputError(f"state: expected a State, got {shown(state)}")
        return follow(packed, self.tokenizer, start_of(state, packed, self.fingerprint()), prompt)

    def _starts(self, prompts: Iterable[str], state: State | None) -> Iterator[Start]:
        """Each prompt's; the same again is not read again."""
        last: tuple[str, Start] | None = None
        for prompt in prompts:
            if last is None or last[0] != _checked(prompt):
                last = prompt, self._start(prompt, state)
            yield last[1]

    @property
    def reads_documents(self) -> bool:
        """Whether the network has seen where documents end."""
        if self.run is None:
            return True
        corpus = self.run.record.corpus
        return corpus is not None and corpus.separate_documents

    def score(self, text: str) -> Score:
        """The loss of a text, in nats a token, each token given those before it; the first is given.

        Warns (UserWarning) where tokens are unknown to the model: their loss says little.

        Raises InputError (a ValueError) for a text of fewer than two tokens.
        """
        tokens = self.tokenizer.encode(normalise(text))
        if len(tokens) < 2:
            raise InputError(f"text: expected at least 2 tokens, got {len(tokens)}; give a longer one")
        score = evaluate(self.packed(), tokens, streams=1)
        unknown = 0.0 if self.tokenizer.unk_id is None else float(np.mean(tokens == self.tokenizer.unk_id))
        if unknown:
            warnings.warn(f"{percent(unknown)} of the text's tokens are unknown to the model", stacklevel=2)
        return score

    def surprisals(self, text: str, *, top: int = 0, dynamic: bool = False) -> Surprisals:
        """The surprisal in bits of every token of a text, given those before it; the first is given, and has NaN. With
        `top` also that many of the likeliest tokens at each place. The mean of the others is score(text).loss / log(2).
        With `dynamic` the weights of a copy follow the text as it is read (textgru.analysis.dynamic), in float32.

        Raises InputError (a ValueError) for what is no text, and a `top` below 0.
        """
        tokens = self.tokenizer.encode(normalise(text))
        return joined(self.stream_surprisals([tokens], top=top, dynamic=dynamic), top)

    def stream_surprisals(
        self, tokens: Iterable[np.ndarray], *, top: int = 0, dynamic: bool = False
    ) -> Iterator[Surprisals]:
        """The same for a text that comes as arrays (n,) of ids (Tokenizer.encode_blocks): yields parts of it."""
        if isinstance(top, bool) or not isinstance(top, int) or top < 0:
            raise InputError(f"top: expected an integer from 0 up, got {top!r}")
        if dynamic:
            return followed_surprisals(follower_of(self.network), self.tokenizer, tokens, top=top)
        return surprisals(self.packed(), self.tokenizer, tokens, top=top)

    def score_lines(self, lines: Sequence[str]) -> list[LineScore]:
        """The probability of each of some short texts on its own: names, titles, sentences. They are read side by side:
        hand over some thousands at a time.

        A line begins as after the end of a document, if the model knows documents (separate_documents), else as after
        the end of a line; its own end is a token of it like any other, unless the model knows no line ends.

        Raises InputError (a ValueError) for what is no text.
        """
        scorer = LineScorer(self.packed(), self.tokenizer, from_eos=self.reads_documents)
        return scorer.score([normalise(line) for line in lines])

    def perplexity(self, text: str) -> float:
        """exp of the mean negative log-likelihood a token: 1 is certain, vocab_size is guessing. See score."""
        return self.score(text).perplexity

    def embed(
        self, texts: Sequence[str], *, pool: str = "last", on_progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """The vectors (N, H) float32 of N texts, for search and clustering: hidden states of the last layer, after the
        last token or, with `pool` "mean", on average (textgru.analysis.embeddings). A text's vector does not depend on
        the others. From one thread at a time. Raises InputError (a ValueError) for values that can't be."""
        return embed(self.network, self.tokenizer, texts, pool=pool, on_progress=on_progress)

    def save(self, out: str | Path, *, precision: str = "fp32", overwrite: bool = False) -> None:
        """Saves the model as a run directory `out`; in "int8" it takes a quarter of the space.

        Settings and scores are those of the run that it came from. Raises InputError (a ValueError) where `out` can't
        be written, or holds a run and `overwrite` is false.
        """
        _check_precision(precision, STORED_PRECISIONS)
        if not isinstance(overwrite, bool):
            raise InputError(f"overwrite: expected true or false, got {overwrite!r}")
        config: dict[str, Any] = {"network": network_settings(self.network.config)}
        config["tokenizer"] = {"kind": self.tokenizer.kind}
        if self.run is not None:
            config |= {name: value for name, value in self.run.config.items() if name != "format_version"}
            if (seconds := training_seconds(self.run)) is not None:
                config["seconds"] = seconds
        config["weights"] = {"precision": precision}
        scores = dict(self.run.scores) if self.run is not None else {}
        scores.pop("seconds", None)
        with NewRun(given_path("out", out), overwrite=overwrite) as writer:
            writer.write_settings(config, self.tokenizer)
            writer.save_weights(self.network, scores, precision=precision)


def load(run: str | Path, *, precision: str | None = None) -> LanguageModel:
    """The model in a run directory. Raises InputError (a ValueError) if there is none or it can't be read.

    `precision` "fp32", "bf16" or "int8": see LanguageModel; by default that in which the weights are stored.
    """
    found = Run.read(run)
    return LanguageModel(
        found.load_network(), found.tokenizer, found, precision=found.precision if precision is None else precision
    )


def _check_precision(precision: object, allowed: tuple[str, ...] = PRECISIONS) -> None:
    if not isinstance(precision, str) or precision not in allowed:
        raise InputError(f"precision: expected {', '.join(allowed[:-1])} or {allowed[-1]}, got {precision!r}")


def _checked(prompt: object) -> str:
    if not isinstance(prompt, str):
        raise InputError(f"prompt: expected a string, got {shown(prompt)}")
    return prompt


def _seed(seed: Any, state: State | None) -> Any:
    """What was given, else the random numbers of the state."""
    random: RandomState | None = None if state is None else state.random
    return random.generator() if seed is None and random is not None else seed
