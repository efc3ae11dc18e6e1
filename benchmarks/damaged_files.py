"""Damaged files that a command is given by name: tokenizers, vocabularies, weights to import, states to go on from.

    python -m benchmarks.damaged_files [--cases N] [--seed N] [--processes N] [--only CASE]

As in benchmarks.damage, which damages runs: a command answers with an exit code of 0, 1 or 2, of which the latter two
come with one line on standard error; nothing crashes or hangs, no process takes more than a gigabyte. A case is a
number: `--only` repeats it, with the traceback.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
from collections import Counter
from pathlib import Path

from safetensors.numpy import load_file, save_file

from benchmarks.damage import MOST_BYTES, _bytes, _changed, _header, _json, _place, answer_of, main

TRAINED = ["--max-steps", "1", "--batch-size", "2", "--seq-length", "4", "--hidden-size", "4", "--no-cache"]


def whole_files(folder: Path, runs: Path) -> Path:
    """What is damaged, made once a process: a folder for each kind of run."""
    whole = folder / "whole"
    if whole.exists():
        return whole
    for run in sorted(path for path in runs.iterdir() if path.name in ("char", "byte", "bpe")):
        place = whole / run.name
        place.mkdir(parents=True)
        for name in ("tokenizer.json", "model.safetensors"):
            shutil.copyfile(run / name, place / name)
        shutil.copytree(run, place / "run")
        arrays = load_file(run / "model.safetensors")
        renamed = {name.replace("embedding", "encoder").replace("output", "decoder"): a for name, a in arrays.items()}
        save_file(renamed, place / "other.safetensors")
        vocabulary = json.loads((run / "tokenizer.json").read_text())["model"].get("vocab", {})
        (place / "vocabulary.json").write_text(json.dumps({"stoi": vocabulary}))
        (place / "names.json").write_text(json.dumps(list(vocabulary)))
        assert (
            answer_of(["sample", str(place / "run"), "-n", "9", "-s", "1", "--save-state", str(place / "state")]) == 0
        )
    return whole


def damage_one(file: Path, rng: random.Random) -> str:
    """Changes a file; what was done."""
    ways = [_bytes, _bytes, _place]
    if file.suffix == ".json":
        ways += [_json] * 7
    elif file.suffix == ".safetensors":
        ways += [_header] * 7
    else:
        ways += [_state] * 7
    way = rng.choice(ways)
    done = way(file, rng)
    if file.is_fifo():  # a pipe that is named is waited for
        file.unlink()
    return f"{file.name} {way.__name__}: {done}"


def _state(file: Path, rng: random.Random) -> str:
    """Changes the first line of a saved state."""
    line, _, rest = file.read_bytes().partition(b"\n")
    text, done = _changed(line.decode(), rng)
    file.write_bytes(text.encode("utf-8", "surrogatepass") + b"\n" + rest)
    return done


def one_case(number: int, folder: Path, runs: Path) -> tuple[str, Counter[str]]:
    """What was damaged, and how the commands answered."""
    rng = random.Random(number)
    place, out = folder / "place", folder / "out"
    for old in (place, out):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(whole_files(folder, runs) / rng.choice(("char", "byte", "bpe")), place)
    names = ["tokenizer.json", "model.safetensors", "other.safetensors", "vocabulary.json", "names.json", "state"]
    name = rng.choice(names)
    done = damage_one(place / name, rng)
    weights = name if name.endswith("safetensors") else "model.safetensors"
    vocabulary = name if name in ("vocabulary.json", "names.json") else "tokenizer.json"
    calls = [["import", str(place / weights), "--tokenizer", str(place / vocabulary), "--out", str(out), "--overwrite"]]
    if name == "state":
        more = rng.choice(
            ([], ["--beams", "2"], ["--mirostat-tau", "3"], ["--save-state", str(folder / "again")], ["-N", "3"])
        )
        calls = [["sample", str(place / "run"), "-n", "9", "--load-state", str(place / name), *more]]
    elif name == "tokenizer.json":
        calls.append(["train", str(folder / "text.txt"), "--tokenizer", str(place / name), "--out", str(folder / "new"),
                      "--overwrite", *TRAINED])  # fmt: skip
    answers: Counter[str] = Counter()
    try:
        for call in calls:
            answers[f"{name} {call[0]}: {answer_of(call)}"] += 1
        if name != "state" and answer_of(calls[0]) == 0:  # what was taken can be used
            answers[f"{name} sample: {answer_of(['sample', str(out), '-n', '5'])}"] += 1
    except AssertionError as error:
        error.add_note(done) if hasattr(error, "add_note") else None
        raise
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert used < MOST_BYTES, f"{used / 1e6:,.0f} MB of memory"
    return done, answers


if __name__ == "__main__":
    main(__doc__, "benchmarks.damaged_files", one_case)
