"""textgru beside llama.cpp: its samplers on the same vocabulary, its server with a model of like size.

    python -m benchmarks.llama_cpp_peer samplers                      needs llama-cpp-python
    python -m benchmarks.llama_cpp_peer server PATH-OF-llama-server    needs gguf; builds a small random model

Samplers: microseconds a token for scores (V,) float32 spread as a trained model's, a draw included; both sides from
Python by one call a token, in turn. llama.cpp's call has its table of candidates filled from the scores, as its own
llama_sampler_sample does. Server: one layer of 512 units here, there a transformer of one layer of like many parameters
and the same 65 characters. Neither is trained: speeds say nothing of texts.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import statistics
import subprocess
import tempfile
import urllib.request
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from benchmarks.common import print_table
from benchmarks.serve import ALPHABET, STREAMS, Server, post
from textgru.core import Sampler
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

CONTROLS: dict[str, dict[str, Any]] = {
    "temperature": {},
    "top-k 40": {"top_k": 40},
    "top-p 0.9": {"top_p": 0.9},
    "min-p 0.05": {"min_p": 0.05},
    "typical-p 0.9": {"typical_p": 0.9},
    "top-n-sigma 1": {"top_n_sigma": 1.0},
    "top-k 40, top-p 0.95, min-p 0.05": {"top_k": 40, "top_p": 0.95, "min_p": 0.05},
}


def llama_chain(library: Any, controls: dict[str, Any]) -> Any:
    init: Any = library.llama_sampler_chain_init
    chain = init(library.llama_sampler_chain_default_params())
    made = {
        "top_n_sigma": lambda n: library.llama_sampler_init_top_n_sigma(n),
        "top_k": lambda k: library.llama_sampler_init_top_k(k),
        "typical_p": lambda p: library.llama_sampler_init_typical(p, 1),
        "top_p": lambda p: library.llama_sampler_init_top_p(p, 1),
        "min_p": lambda p: library.llama_sampler_init_min_p(p, 1),
    }
    for name, init in made.items():
        if name in controls:
            library.llama_sampler_chain_add(chain, init(controls[name]))
    library.llama_sampler_chain_add(chain, library.llama_sampler_init_temp(0.8))
    library.llama_sampler_chain_add(chain, library.llama_sampler_init_dist(1))
    return chain


def samplers(rounds: int) -> None:
    import llama_cpp

    rows = [["V", "control", "textgru, us", "llama.cpp, us", "ratio"]]
    for vocab in (65, 8192):
        scores = (np.random.default_rng(0).standard_normal((16, vocab)) * 3).astype(np.float32)
        kind = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        filled = np.zeros((16, vocab), kind)
        filled["id"], filled["logit"] = np.arange(vocab), scores
        room = np.empty(vocab, kind)
        ours_of = [np.ascontiguousarray(row[None]) for row in scores]
        u = np.full(1, 0.5)
        for name, controls in CONTROLS.items():
            sampler, chain = Sampler(vocab, 1, temperature=0.8, **controls), llama_chain(llama_cpp, controls)
            array = llama_cpp.llama_token_data_array()

            ours = partial(_draw, sampler, ours_of, u)
            theirs = partial(_apply, llama_cpp, chain, array, filled, room)
            times: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(rounds):
                for side, call in (("ours", ours), ("theirs", theirs)):
                    began = perf_counter()
                    for _ in range(10):
                        call()
                    times[side].append((perf_counter() - began) / 160 * 1e6)
            a, b = statistics.median(times["ours"]), statistics.median(times["theirs"])
            rows.append([f"{vocab:,}", name, f"{a:.1f}", f"{b:.1f}", f"{b / a:.1f}"])
            llama_cpp.llama_sampler_free(chain)
    print_table(rows)


def _draw(sampler: Sampler, scores: list[np.ndarray], u: np.ndarray) -> None:
    for row in scores:
        sampler.draw(row, u)


def _apply(library: Any, chain: Any, array: Any, filled: np.ndarray, room: np.ndarray) -> None:
    data = room.ctypes.data_as(ctypes.POINTER(library.llama_token_data))
    for row in filled:
        room[...] = row
        array.data, array.size, array.selected, array.sorted = data, len(room), -1, False
        library.llama_sampler_apply(chain, ctypes.byref(array))


def small_llama(file: Path) -> int:
    """A random transformer of one layer with a vocabulary of 65 characters; its number of parameters."""
    import gguf

    rng, width, inner, heads = np.random.default_rng(0), 256, 704, 4
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *ALPHABET]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * len(ALPHABET)])
    shapes = {
        "token_embd.weight": (len(tokens), width),
        "output.weight": (len(tokens), width),
        "output_norm.weight": (width,),
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes[f"blk.0.{name}.weight"] = (width, width)
    shapes |= {"blk.0.attn_norm.weight": (width,), "blk.0.ffn_norm.weight": (width,)}
    shapes |= {"blk.0.ffn_gate.weight": (inner, width), "blk.0.ffn_up.weight": (inner, width)}
    shapes["blk.0.ffn_down.weight"] = (width, inner)
    for name, shape in shapes.items():
        array = np.ones(shape) if len(shape) == 1 else rng.standard_normal(shape) * 0.05
        writer.add_tensor(name, array.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sum(int(np.prod(shape)) for shape in shapes.values())


async def _stream(port: int, body: dict[str, Any]) -> tuple[float, int]:
    """Seconds to the first event, and how many tokens came."""
    began, first, answer = perf_counter(), 0.0, b""
    reader, writer = await post(port, json.dumps(body).encode())
    while part := await reader.read(1 << 16):
        if not first and b"data: " in part:
            first = perf_counter() - began
        answer += part
    writer.close()
    usage = [
        json.loads(line[6:]) for line in answer.split(b"\n") if line.startswith(b"data: {") and b'"usage":{' in line
    ]
    return first, usage[-1]["usage"]["completion_tokens"]


async def _streams(port: int, count: int, length: int) -> tuple[float, float]:
    body = {
        "model": "model", "prompt": "the ", "max_tokens": length, "stream": True, "temperature": 0.8, "top_p": 0.9,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    began = perf_counter()
    found = await asyncio.gather(*(_stream(port, body) for _ in range(count)))
    seconds = perf_counter() - began
    return sum(tokens for _, tokens in found) / seconds, statistics.median(first for first, _ in found)


def servers(path: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        parameters = small_llama(Path(folder, "model.gguf"))
        tokenizer = Tokenizer.train("char", lambda: [ALPHABET])
        network = Network(NetworkConfig(tokenizer.vocab_size, 64, 512, 1), seed=1)
        LanguageModel(network, tokenizer).save(Path(folder, "model"))
        print(f"parameters: {network.config.parameter_count():,} here, {parameters:,} there")
        port = 18765
        command = [
            path,
            "-m",
            f"{folder}/model.gguf",
            "--port",
            f"{port}",
            "-np",
            f"{STREAMS}",
            "-c",
            "32768",
            "-t",
            "2",
        ]
        theirs = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ours = Server(Path(folder, "model"), "fp32")
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                break
            except OSError:
                sleep(0.2)
        rows = [["streams", "textgru, tokens/s", "llama-server, tokens/s", "first event, ms", "first event, ms"]]
        for count, length in ((1, 400), (STREAMS, 200)):
            figures: dict[int, list[tuple[float, float]]] = {ours.port: [], port: []}
            for _ in range(rounds):
                for where, list_ in figures.items():
                    list_.append(asyncio.run(_streams(where, count, length)))
            rates = [statistics.median(rate for rate, _ in figures[where]) for where in (ours.port, port)]
            firsts = [statistics.median(first for _, first in figures[where]) * 1000 for where in (ours.port, port)]
            rows.append([f"{count}", *(f"{rate:,.0f}" for rate in rates), *(f"{first:.0f}" for first in firsts)])
        ours.end()
        theirs.terminate()
        theirs.wait()
    print_table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["samplers", "server"])
    parser.add_argument("path", nargs="?", help="of llama-server")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.what == "samplers":
        samplers(arguments.rounds)
    else:
        servers(arguments.path or "llama-server", arguments.rounds)


if __name__ == "__main__":
    main()
