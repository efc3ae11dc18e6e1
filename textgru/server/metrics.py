"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one server, in a registry of its own. `texts` gives (active, waiting) of each model, `loads` how
    often it was loaded."""

    def __init__(
        self, texts: Callable[[], Mapping[str, tuple[int, int]]], loads: Callable[[], Mapping[str, int]]
    ) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "textgru_requests_total", "Requests answered.", ["path", "status"], registry=self._registry
        )
        self.prompt_tokens = Counter(
            "textgru_prompt_tokens_total", "Tokens of prompts.", ["model"], registry=self._registry
        )
        self.tokens = Counter("textgru_tokens_total", "Tokens drawn.", ["model"], registry=self._registry)
        self.left = Counter(
            "textgru_texts_left_total", "Texts whose reader went away.", ["model"], registry=self._registry
        )
        self.streams = Gauge("textgru_streams", "Streams that are being sent.", registry=self._registry)
        self.first_token = Histogram(
            "textgru_first_token_seconds",
            "From a request to its first token.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self._registry.register(_OfModels(texts, loads))

    def text(self) -> bytes:
        """In Prometheus' text format."""
        text: bytes = generate_latest(self._registry)
        return text


class _OfModels(Collector):  # type: ignore[misc]
    """Read when asked for."""

    def __init__(
        self, texts: Callable[[], Mapping[str, tuple[int, int]]], loads: Callable[[], Mapping[str, int]]
    ) -> None:
        self._texts, self._loads = texts, loads

    def collect(self) -> Iterable[Metric]:
        active = GaugeMetricFamily("textgru_texts_active", "Texts being drawn.", labels=["model"])
        waiting = GaugeMetricFamily("textgru_texts_waiting", "Texts that wait for a place.", labels=["model"])
        for name, (drawn, waits) in self._texts().items():
            active.add_metric([name], drawn)
            waiting.add_metric([name], waits)
        loaded = CounterMetricFamily("textgru_models_loaded_total", "Times that a model was loaded.", labels=["model"])
        for name, times in self._loads().items():
            loaded.add_metric([name], times)
        return [active, waiting, loaded]
