"""Sampling speed of textgru and PyTorch, one text, one token at a time, alternately in one run.

    python -m benchmarks.sample_speed [--rounds N] [--only ROW] [--json FILE] [--waits LEAST MOST]

Each side draws tokens at temperature 0.8 from the same weights: PyTorch as a user's loop does (nn.GRU with the state
carried, softmax, multinomial, inference mode, one thread), textgru as `textgru sample` does, without decoding, in
float32 and with weights as 8-bit integers. First it is checked that both give the same scores in float32. ONNX Runtime
(one thread) joins where it and onnx are installed. Many texts side by side: benchmarks.session_rows. With --controls:
what each sampling control costs (benchmarks.sampling_controls).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.common import (
    alternate,
    blas_gflops,
    chosen,
    import_torch,
    parse_arguments,
    print_machine,
    print_table,
    rates,
    waits,
    write_json,
    written,
)
from textgru.core import PackedNetwork, get_num_threads
from textgru.generation.draws import draw_tokens
from textgru.generation.sampling import Sampling
from textgru.model.config import NetworkConfig
from textgru.model.network import Network

LENGTH = 2000
TEMPERATURE = 0.8


def check_agreement(torch: Any, network: Network, model: Any) -> None:
    """Raises SystemExit unless both sides give the same scores for a few tokens."""
    session, their_state = network.session(), torch.zeros(network.initial_state(1)[0].shape)
    for token in range(5):
        session.step(token)
        with torch.inference_mode():
            theirs, their_state = model(torch.tensor([[token]]), their_state)
        difference = np.abs(session.logits - theirs[0].numpy()).max()
        if not difference < 1e-4:
            raise SystemExit(f"scores differ by {difference:.2g}: the comparison would be worth nothing")


def has_onnx() -> bool:
    """Whether ONNX Runtime and onnx are installed."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


def check_onnx_agreement(network: Network, theirs: Any) -> None:
    """As check_agreement, for a session of ONNX Runtime."""
    session, their_state = network.session(), network.initial_state(1)[0]
    for token in range(5):
        session.step(token)
        scores, their_state = theirs.run(None, {"tokens": np.array([[token]]), "h_0": their_state})
        difference = np.abs(session.logits - scores).max()
        if not difference < 1e-4:
            raise SystemExit(f"ONNX Runtime's scores differ by {difference:.2g}: the comparison would be worth nothing")


def measure(configuration: tuple[int, ...], torch: Any, rounds: int, wanted_waits: Sequence[float]) -> dict[str, Any]:
    vocab, embedding, hidden, layers = configuration[:4]
    network = Network(NetworkConfig(vocab, embedding, hidden, layers), seed=1)
    sampling, rng = Sampling(TEMPERATURE), np.random.default_rng(0)
    start = np.zeros(1, np.intp)

    def draw(packed: PackedNetwork) -> None:
        for _ in draw_tokens(packed, start, LENGTH, sampling, rng):
            pass

    sides: dict[str, Any] = {
        "textgru": partial(draw, network.pack()),
        "textgru_int8": partial(draw, network.pack("int8")),
    }
    row: dict[str, Any] = {"configuration": list(configuration), "threads": get_num_threads()}
    if torch is not None:
        from benchmarks.torch_model import Sampling as TorchSampling

        torch.set_num_threads(1)  # more are slower for products of one row
        theirs = TorchSampling(network, LENGTH, TEMPERATURE)
        check_agreement(torch, network, theirs.model)
        sides["pytorch"] = theirs.run
    if has_onnx():
        from benchmarks.onnx_model import Sampling as OnnxSampling

        onnx = OnnxSampling(network, LENGTH, TEMPERATURE, threads=1)
        check_onnx_agreement(network, onnx.session)
        sides["onnxruntime"] = onnx.run
    seconds = alternate(sides, rounds, wanted_waits)
    row["wait_ns"] = waits(seconds.pop("wait"))
    ranges = {name: rates(taken, LENGTH) for name, taken in seconds.items()}
    row["ranges"] = ranges
    row |= {name: rate["median"] for name, rate in ranges.items()}
    for name in ("textgru", "textgru_int8"):
        row[f"{name}_ratio"] = row[name] / row["pytorch"] if torch is not None else None
    return row


def main() -> None:
    if "--controls" in sys.argv:
        from benchmarks import sampling_controls

        sys.argv.remove("--controls")
        sampling_controls.main()
        return
    arguments = parse_arguments(__doc__, rounds=9)
    torch = import_torch()
    rows = [
        measure(configuration, torch, arguments.rounds, arguments.waits) for configuration in chosen(arguments.only)
    ]
    gflops = blas_gflops()
    print_machine(gflops)
    heading = ["V, E, H, L", "fp32, tokens/s", "int8, tokens/s", "PyTorch", "ONNX Runtime", "fp32 ratio", "int8 ratio",
               "wait, ns"]  # fmt: skip
    table = [heading]
    for row in rows:
        ranges = row["ranges"]
        table.append([
            ", ".join(map(str, row["configuration"][:4])),
            *(written(ranges.get(side)) for side in ("textgru", "textgru_int8", "pytorch", "onnxruntime")),
            *(f"{ratio:.1f}" if ratio else "-" for ratio in (row["textgru_ratio"], row["textgru_int8_ratio"])),
            written(row["wait_ns"]),
        ])  # fmt: skip
    print_table(table)
    write_json(arguments.json, gflops, rows)


if __name__ == "__main__":
    main()
