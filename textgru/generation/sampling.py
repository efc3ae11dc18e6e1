"""How the next token is drawn: the controls, as one value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from textgru.errors import InputError, TextgruError
from textgru.typed import Help, Range, check_fields

if TYPE_CHECKING:
    import numpy as np

    from textgru.core import Sampler

GREEDY = 1e-6  # below this temperature the likeliest token alone has any probability
PART = Range(0, 1, above=True)
MOST_LOOKED_BACK = 1 << 20
NOT_FINITE = "the model gives no finite scores to draw from: its weights are damaged"
NOTHING_LEFT = "nothing is left to draw: the model's scores are not finite, or every token is banned"


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the scores. Raises InputError for values that can't be.

    The controls apply in the order of textgru.core.Sampler, which says what each computes: bias and bans, penalties,
    DRY; top-n-sigma, top-k, typical-p, top-p, min-p (or Mirostat in their place); temperature. `logit_bias` maps token
    ids to what is added to their scores; `banned` are ids that are never drawn; `dry_breakers` those that a repetition
    isn't looked for across; before `min_tokens` new ones no document ends.
    """

    temperature: Annotated[
        float,
        Range(0),
        Help(
            "Below 1 safer, above 1 wilder; 0 always takes the likeliest token, auto is what the run found to suit it.",
            "Sampling",
            spelled=("--temp",),
            metavar="X",
        ),
    ] = 0.8
    top_k: Annotated[
        int | None, Range(1), Help("Only the k likeliest tokens.", "Sampling", default="off", metavar="K")
    ] = None
    top_p: Annotated[
        float | None,
        PART,
        Help("Only the likeliest tokens that together have probability p.", "Sampling", default="off", metavar="P"),
    ] = None
    min_p: Annotated[
        float,
        Range(0, 1, below=True),
        Help("Only tokens at least p times as likely as the likeliest.", "Sampling", metavar="P"),
    ] = 0.0
    typical_p: Annotated[
        float,
        PART,
        Help("Only tokens about as surprising as expected, that together have probability p.", "Sampling", metavar="P"),
    ] = 1.0
    top_n_sigma: Annotated[
        float,
        Range(0),
        Help("Only scores within n standard deviations of the largest.", "Sampling", default="0, off", metavar="N"),
    ] = 0.0
    dynatemp_range: Annotated[
        float, Range(0), Help("Temperature - X where the model is sure, to + X where it isn't.", "Sampling")
    ] = 0.0
    dynatemp_exponent: Annotated[
        float, Range(0, above=True), Help("How the temperature follows the entropy.", "Sampling")
    ] = 1.0
    mirostat_tau: Annotated[
        float,
        Range(0, 1000),
        Help("Mirostat 2: keep the surprise of a token near X bits; in place of the above.", "Sampling", "0, off"),
    ] = 0.0
    mirostat_eta: Annotated[float, Range(0, 1000), Help("Mirostat's learning rate.", "Sampling")] = 0.1
    repetition_penalty: Annotated[
        float,
        Range(0, above=True),
        Help("Scores of tokens that were there lately are divided by X.", "Repetition", spelled=("--repeat-penalty",)),
    ] = 1.0
    presence_penalty: Annotated[
        float, Range(-1000, 1000), Help("Subtracted from the score of a token that was there lately.", "Repetition")
    ] = 0.0
    frequency_penalty: Annotated[
        float, Range(-1000, 1000), Help("The same, times how often it was there.", "Repetition")
    ] = 0.0
    penalty_last_n: Annotated[
        int,
        Range(0, MOST_LOOKED_BACK),
        Help("What lately is, in tokens.", "Repetition", spelled=("--repeat-last-n",)),
    ] = 64
    dry_multiplier: Annotated[
        float,
        Range(0),
        Help("DRY: a token that goes on with a repetition is made less likely.", "Repetition", default="0, off"),
    ] = 0.0
    dry_base: Annotated[float, Range(1), Help("By multiplier * X ** (length - allowed length).", "Repetition")] = 1.75
    dry_allowed_length: Annotated[
        int, Range(1, MOST_LOOKED_BACK), Help("The shortest repetition that counts, in tokens.", "Repetition")
    ] = 2
    dry_penalty_last_n: Annotated[
        int, Range(0, MOST_LOOKED_BACK), Help("How far back repetitions are looked for.", "Repetition")
    ] = 1024
    min_tokens: Annotated[
        int, Range(0, 10**12), Help("The fewest new tokens before the end of a document.", "Sampling")
    ] = 0
    logit_bias: dict[int, float] = field(default_factory=dict)
    banned: list[int] = field(default_factory=list)
    dry_breakers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def greedy(self) -> bool:
        """Whether it always takes the likeliest token, and needs no random numbers."""
        return self.temperature < GREEDY and not self.dynatemp_range

    @property
    def plain(self) -> bool:
        """Whether a token is drawn from the softmax of all scores, at a temperature above zero."""
        return self.temperature >= GREEDY and self == Sampling(self.temperature)

    def sampler(self, vocab_size: int, rows: int = 1, *, never: int | None = None, eos: int | None = None) -> Sampler:
        """What applies the controls for the rows of a session. The token `never` isn't drawn either; `eos` ends a
        document. Raises InputError for tokens that are not in the vocabulary."""
        from textgru.core import Sampler

        controls: dict[str, Any] = asdict(self)
        controls["top_k"] = min(self.top_k or 0, vocab_size)
        controls["top_p"] = 1.0 if self.top_p is None else self.top_p
        controls["banned"] = [*self.banned, *([] if never is None else [never])]
        controls["eos"] = -1 if eos is None else eos
        try:
            return Sampler(vocab_size, rows, **controls)
        except (IndexError, TypeError, ValueError) as error:
            raise InputError(str(error)) from error

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The distribution (V,) float64 that a token is drawn from, for scores (V,), nothing being drawn or read yet.

        Raises TextgruError where the scores make none: with NaN or infinity among them.
        """
        import numpy as np

        scores = np.ascontiguousarray(logits, logits.dtype if logits.dtype == np.float32 else np.float64)
        try:
            p: np.ndarray = self.sampler(len(scores)).probabilities(scores[None])[0]
        except ValueError as error:
            raise TextgruError(NOTHING_LEFT if self.banned else NOT_FINITE) from error
        return p

    def draw(self, logits: np.ndarray, rng: np.random.Generator) -> int:
        """A token for scores (V,). Greedy drawing takes nothing from `rng`."""
        import numpy as np

        p = self.probabilities(logits)
        if self.greedy:
            return int(np.argmax(p))
        cumulative = np.cumsum(p)
        drawn = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        return min(drawn, int(np.flatnonzero(p)[-1]))  # in case rounding leaves the number at the very end
