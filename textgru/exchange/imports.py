"""Models from elsewhere: a PyTorch state dict (an embedding, an nn.GRU, LSTM or RNN, a linear layer) and its tokenizer.

Reading one executes nothing: safetensors files hold numbers alone, .pt files are read with weights_only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from textgru.errors import InputError
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.paths import given_path
from textgru.text.tokenizer import Tokenizer
from textgru.typed import MismatchError, read_json, shown

LARGEST_FILE = 1 << 34  # bytes
CELL_OF_GATES = {1: "rnn", 3: "gru", 4: "lstm"}
RECURRENT = re.compile(r"(.*?)(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d+)(_reverse)?$")
EMBEDDING_NAMES, OUTPUT_NAMES = ("emb", "wte", "lookup"), ("out", "head", "decoder", "fc", "linear", "proj", "logits")
UNKNOWN = "<unk>"
UNLIKELY = -1e4  # the bias of a token that the model never had: its probability is 0 in float32
MOST_ONE_HOT = 8192  # tokens of a model without an embedding

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Names:
    """Which arrays are meant, where there are several: the recurrent layers' prefix, the embedding's and the output
    layer's names."""

    prefix: str | None = None
    embedding: str | None = None
    output: str | None = None


def import_model(weights: str | Path, vocabulary: str | Path, names: Names | None = None) -> LanguageModel:
    """The model of a state dict and a tokenizer.json, or a JSON of a vocabulary: {"a": 0, ...}, {"0": "a", ...},
    ["a", ...], or any of them under "stoi", "itos", "vocab", "chars", "char_to_ix" or "ix_to_char".

    A model without an embedding reads one-hot vectors, as char-rnn's. An RNN is taken to be one with tanh, as PyTorch's
    is by default. Raises InputError that names what is missing, what doesn't fit, and what can't be told apart.
    """
    path = given_path("weights", weights)
    arrays, names = read_weights(path), names or Names()
    prefix = _prefix(path, arrays, names)
    cell, sizes = _recurrent(path, arrays, prefix)
    embedding = _embedding(path, arrays, prefix, sizes[0], names)
    output, bias = _output(path, arrays, prefix, sizes[1], names, embedding)
    tokenizer, added = read_vocabulary(given_path("tokenizer", vocabulary))
    tied = output is None
    table = np.eye(sizes[0], dtype=np.float32) if embedding is None else arrays[embedding]
    weight = table if output is None else arrays[output]
    if tied and table.shape[1] != sizes[1]:
        raise InputError(f"{path}: there is no output layer: no matrix of {sizes[1]} columns; name it with --output")
    if len(table) != len(weight):
        raise InputError(f"{path}: the embedding has {len(table)} tokens, the output layer {len(weight)}")
    offset = np.zeros(len(weight), np.float32) if bias is None else arrays[bias]
    known = tokenizer.vocab_size - added
    if known != len(table):
        raise InputError(f"{vocabulary}: has {known} tokens, the model in {path} has {len(table)}")
    if added:
        table, weight = (
            np.concatenate([array, np.zeros((1, array.shape[1]), np.float32)]) for array in (table, weight)
        )
        offset = np.append(offset, np.float32(UNLIKELY))
    layers = sizes[2]
    config = NetworkConfig(len(table), table.shape[1], sizes[1], layers, tie_weights=tied, cell=cell)  # type: ignore[arg-type]
    network = Network(config, seed=0)
    parameters = network.named_parameters()
    parameters["embedding.weight"][...] = table
    parameters["output.bias"][...] = offset
    if not tied:
        parameters["output.weight"][...] = weight
    for layer in range(layers):
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            array = arrays.get(f"{prefix}{part}_l{layer}")
            parameters[f"{cell}.{part}_l{layer}"][...] = 0 if array is None else array
    return LanguageModel(network, tokenizer)


def read_weights(path: Path) -> Arrays:
    """Name -> float32 array. Raises InputError for what is no state dict, and numbers that are not finite."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a .safetensors or .pt file")
        if size > LARGEST_FILE:
            raise InputError(f"{path}: is larger than {LARGEST_FILE >> 30} GB")
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    pickled = head[8:] != b"{" and (head[:2] in (b"PK", b"\x80\x02") or path.suffix in (".pt", ".pth", ".bin"))
    arrays = _pickled(path) if pickled else _safetensors(path)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {shown(name)} has numbers that are not finite")
    return arrays


def _safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError, safe_open

    found = {}
    try:
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118  # it is no dict
                part = file.get_slice(name)
                if part.get_dtype() == "BF16":  # which NumPy lacks
                    found[name] = _bfloat16(path, name, part.get_shape())
                elif part.get_dtype() in ("F16", "F32", "F64"):
                    found[name] = np.ascontiguousarray(file.get_tensor(name), np.float32)
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: no safetensors file: {str(error).splitlines()[0][:200]}") from error
    return found


def _bfloat16(path: Path, name: str, shape: list[int]) -> np.ndarray:
    """From the bytes: bfloat16 is the upper half of a float32."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        begin, end = json.loads(file.read(length))[name]["data_offsets"]
        file.seek(8 + length + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(shape)


def _pickled(path: Path) -> Arrays:
    try:
        import torch
    except ImportError as error:
        raise InputError(f"{path}: a .pt file needs PyTorch: pip install torch; or save it as safetensors") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"{path}: no state dict that can be read without executing it: {reason}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a state dict, got {type(found).__name__}")
    return {
        str(name): np.ascontiguousarray(tensor.detach().float().numpy())
        for name, tensor in found.items()
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and not tensor.is_sparse
    }


def _prefix(path: Path, arrays: Arrays, names: Names) -> str:
    """In front of weight_ih_l0."""
    found = sorted({match[1] for name in arrays if (match := RECURRENT.match(name)) and match[2] == "weight_ih"})
    if names.prefix is not None:
        wanted = [prefix for prefix in found if prefix.rstrip(".") == names.prefix.rstrip(".")]
        if not wanted:
            raise InputError(
                f"--prefix: no {names.prefix}.weight_ih_l0 in {path}; there is {', '.join(found) or 'none'}"
            )
        return wanted[0]
    if not found:
        raise InputError(f"{path}: no recurrent layers: no array is called weight_ih_l0")
    if len(found) > 1:
        raise InputError(f"{path}: several recurrent parts: {', '.join(map(repr, found))}; choose one with --prefix")
    return found[0]


def _recurrent(path: Path, arrays: Arrays, prefix: str) -> tuple[str, tuple[int, int, int]]:
    """The cell; inputs, units, layers."""
    own = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
    matched = {name: match for name in own if (match := RECURRENT.match(name)) and not match[1]}
    if any(match[4] for match in matched.values()):
        raise InputError(f"{path}: the layers are bidirectional: no model that writes from left to right")
    if any(match[2] == "weight_hr" for match in matched.values()):
        raise InputError(f"{path}: the LSTM has projections (proj_size), which textgru hasn't")
    layers = 1 + max(int(match[3]) for match in matched.values())
    hidden = own.get("weight_hh_l0")
    if hidden is None or hidden.ndim != 2 or not hidden.shape[1]:
        raise InputError(f"{path}: {prefix}weight_hh_l0 is missing, or no matrix")
    units = hidden.shape[1]
    gates, rest = divmod(len(hidden), units)
    if rest or gates not in CELL_OF_GATES:
        raise InputError(f"{path}: {prefix}weight_hh_l0 is {len(hidden)} x {units}: no GRU, LSTM or RNN has that shape")
    first = own.get("weight_ih_l0")
    inputs = first.shape[1] if first is not None and first.ndim == 2 else 0
    for layer in range(layers):
        rows = gates * units
        wanted = {f"weight_ih_l{layer}": (rows, units if layer else inputs), f"weight_hh_l{layer}": (rows, units)}
        biases = {f"bias_{which}_l{layer}": (rows,) for which in ("ih", "hh") if f"bias_{which}_l{layer}" in own}
        for name, shape in {**wanted, **biases}.items():
            if name not in own:
                raise InputError(f"{path}: {prefix}{name} is missing")
            if own[name].shape != shape:
                raise InputError(f"{path}: {prefix}{name}: expected shape {shape}, got {own[name].shape}")
    return CELL_OF_GATES[gates], (inputs, units, layers)


def _embedding(path: Path, arrays: Arrays, prefix: str, inputs: int, names: Names) -> str | None:
    """The name of a matrix (V, inputs); None where there is none: then the inputs are one-hot vectors."""
    others = _others(arrays, prefix)
    if names.embedding is not None:
        return _named(path, "--embedding", names.embedding, others, inputs)
    found = [name for name, array in others.items() if array.ndim == 2 and array.shape[1] == inputs]
    found = _likelier(found, EMBEDDING_NAMES, OUTPUT_NAMES)
    if len(found) > 1:
        raise InputError(f"{path}: several could be the embedding: {', '.join(found)}; choose with --embedding")
    if found:
        return found[0]
    if inputs > MOST_ONE_HOT:
        raise InputError(f"{path}: there is no embedding: no matrix has {inputs} columns; name it with --embedding")
    return None


def _output(
    path: Path, arrays: Arrays, prefix: str, units: int, names: Names, embedding: str | None
) -> tuple[str | None, str | None]:
    """The names of a matrix (V, units) and of its bias, if it has one; no matrix where it is the embedding."""
    others = _others(arrays, prefix)
    if names.output is not None:
        weight: str | None = _named(path, "--output", names.output, others, units)
    else:
        found = [name for name, a in others.items() if a.ndim == 2 and a.shape[1] == units and name != embedding]
        found = _likelier(found, OUTPUT_NAMES, EMBEDDING_NAMES)
        if len(found) > 1:
            raise InputError(f"{path}: several could be the output layer: {', '.join(found)}; choose with --output")
        weight = found[0] if found else None
    told = weight or embedding
    rows = 0 if told is None else len(others[told])
    beside = re.sub(r"weight$", "bias", weight) if weight else ""
    biases = [name for name, array in others.items() if array.shape == (rows,)]
    if beside in biases:
        return weight, beside
    return weight, biases[0] if len(biases) == 1 and not (weight and weight.endswith("weight")) else None


def _others(arrays: Arrays, prefix: str) -> Arrays:
    return {n: a for n, a in arrays.items() if not (n.startswith(prefix) and RECURRENT.match(n[len(prefix) :]))}


def _named(path: Path, option: str, name: str, others: Arrays, columns: int) -> str:
    for known in (name, f"{name}.weight"):
        if known in others:
            if others[known].ndim != 2 or others[known].shape[1] != columns:
                raise InputError(f"{option}: {known} has shape {others[known].shape}; expected {columns} columns")
            return known
    raise InputError(
        f"{option}: there is no {shown(name)} in {path}; there is {', '.join(others)[:300] or 'nothing else'}"
    )


def _likelier(found: list[str], words: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    """Those that are called so, if any are; else those that aren't called otherwise."""
    called = [name for name in found if any(word in name.lower() for word in words)]
    if called:
        return called
    return [name for name in found if not any(word in name.lower() for word in others)]


def read_vocabulary(path: Path) -> tuple[Tokenizer, bool]:
    """A tokenizer.json, or the characters of a model by their ids; and whether it has a token more than those, the
    unknown one. Raises InputError."""
    try:
        if path.stat().st_size > 1 << 28:
            raise InputError(f"{path}: is larger than 256 MB")
        found = read_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except MismatchError as error:
        raise InputError(f"{path}: {error}") from error
    if isinstance(found, dict) and isinstance(found.get("model"), dict) and "type" in found["model"]:
        return Tokenizer.load(path), False
    return _characters(path, found)


def _characters(path: Path, found: Any) -> tuple[Tokenizer, bool]:
    """One token a character, with an unknown token more, if it has none: whether it has."""
    for key in ("stoi", "char_to_ix", "itos", "ix_to_char", "vocab", "chars"):
        if isinstance(found, dict) and isinstance(found.get(key), (dict, list)):
            found = found[key]
    if isinstance(found, list):
        listed: dict[Any, Any] = dict(enumerate(found))
    elif isinstance(found, dict) and found and all(isinstance(value, int) for value in found.values()):
        listed = {value: key for key, value in found.items()}
        if len(listed) < len(found):
            raise InputError(f"{path}: two characters have one id")
    elif isinstance(found, dict) and found and all(isinstance(value, str) for value in found.values()):
        if not all(key.isascii() and key.isdigit() for key in found):
            raise InputError(f"{path}: expected ids as keys, got {shown(next(k for k in found if not k.isdigit()))}")
        listed = {int(key): value for key, value in found.items()}
    else:
        raise InputError(f"{path}: no tokenizer.json and no vocabulary: expected characters with their ids")
    if sorted(listed) == list(range(1, len(listed) + 1)):  # Lua counts from 1
        listed = {i - 1: text for i, text in listed.items()}
    if sorted(listed) != list(range(len(listed))):
        raise InputError(f"{path}: ids: expected 0 to {len(listed) - 1}, each once")
    texts = [listed[i] for i in range(len(listed))]
    unknown = [i for i, text in enumerate(texts) if isinstance(text, str) and text.lower() in ("<unk>", "[unk]")]
    for i, text in enumerate(texts):
        if not isinstance(text, str) or (len(text) != 1 and i not in unknown):
            raise InputError(f"{path}: id {i}: expected a character, got {shown(text)}; give a tokenizer.json")
    if len({*texts}) < len(texts) or len(unknown) > 1:
        raise InputError(f"{path}: a character has two ids")
    name = texts[unknown[0]] if unknown else UNKNOWN
    vocabulary = {text: i for i, text in enumerate(texts)} | ({} if unknown else {name: len(texts)})
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=name))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    return Tokenizer.from_json(backend.to_str()), not unknown
