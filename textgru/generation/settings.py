"""The settings of a generation by their names, as Python and the command line give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np

from textgru.generation.constraints import Constraint
from textgru.generation.sampling import Sampling
from textgru.generation.stopping import Stopping


class GenerationSettings(TypedDict, total=False):
    """Those of Sampling, Stopping and Constraint, which have the defaults and say what each does; and `seed`: the same
    seed gives the same text."""

    temperature: float | Literal["auto"]
    top_k: int | None
    top_p: float | None
    min_p: float
    typical_p: float
    top_n_sigma: float
    dynatemp_range: float
    dynatemp_exponent: float
    mirostat_tau: float
    mirostat_eta: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    penalty_last_n: int
    dry_multiplier: float
    dry_base: float
    dry_allowed_length: int
    dry_penalty_last_n: int
    min_tokens: int
    logit_bias: dict[int, float]
    banned: list[int]
    dry_breakers: list[int]
    length: int | None
    length_chars: int | None
    stop: str | Sequence[str]
    stop_at: Literal["document", "line", "sentence"]
    stop_regex: str | None
    stop_tokens: Sequence[int]
    regex: str | None
    grammar: str | None
    json_schema: str | None
    seed: int | np.random.Generator | None


class Settings(NamedTuple):
    """The same as what they are for."""

    sampling: Sampling
    stopping: Stopping
    constraint: Constraint
    seed: Any

    @staticmethod
    def of(given: Mapping[str, Any]) -> Settings:
        """Raises InputError for values that can't be, TypeError for a name that isn't known."""
        kinds = (Sampling, Stopping, Constraint)
        names = [{field.name for field in fields(kind)} for kind in kinds]
        if unknown := sorted(given.keys() - {"seed"}.union(*names)):
            raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
        sampling, stopping, constraint = (
            kind(**{name: given[name] for name in given if name in own}) for kind, own in zip(kinds, names, strict=True)
        )
        return Settings(sampling, stopping, constraint, given.get("seed"))
