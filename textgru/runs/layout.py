"""Where things stand in a run directory.

    config.json          format_version, the network's and the training's settings, what the corpus was
    tokenizer.json       Hugging Face tokenizers format
    model.safetensors    the best weights by validation loss, with PyTorch's names; their scores in its metadata. In an
                         int8 run each matrix is I8 and has its rows' scales beside it, NAME.scale
    metrics.jsonl        one JSON object an event
    training/            what only going on with an unfinished training needs: state.safetensors, the encoded text; and
                         the lock of the process that writes
    training.new/        a new run that is put together, until its first weights are saved

The file of the weights is where a new run takes the place of another, or of none: `commit.json` in training.new/ says
which weights its other files belong to. Once those weights stand in the run directory, the settings in training.new/
are the run's, also where the process was killed before it had moved them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

FORMAT_VERSION = 1
CONFIG, TOKENIZER, WEIGHTS, METRICS = "config.json", "tokenizer.json", "model.safetensors", "metrics.jsonl"
TRAINING, STAGING = "training", "training.new"
STATE, SET_ASIDE, TOKENS, LOCK, COMMIT = "state.safetensors", "model.safetensors", "tokens.bin", "lock", "commit.json"
SPOOLED = "spooled-"  # and a number: a text that can't be read twice
TENSORBOARD, TENSORBOARD_LOGS = "tensorboard", "events.out.tfevents.*"
RUN_FILES = (CONFIG, TOKENIZER, WEIGHTS, METRICS)
SCALE = ".scale"


def ours(folder: Path) -> list[Path]:
    """The files in training/, or in training.new/, that this program puts there. A link is none of them, nor is what
    is in a folder that is a link."""
    if folder.is_symlink():
        return []
    names = {STATE, SET_ASIDE, TOKENS, LOCK, COMMIT, CONFIG, TOKENIZER, METRICS, "standard-input"}
    try:
        return [
            path
            for path in folder.iterdir()
            if (path.name in names or path.name.startswith(SPOOLED) or _partial(path.name, names))
            and path.is_file()
            and not path.is_symlink()
        ]
    except OSError:
        return []


def foreign(run: Path) -> list[str]:
    """What there is in a run directory that this program didn't put there. Raises OSError if it can't be read."""
    found = []
    names = {*RUN_FILES, TENSORBOARD} if is_run(run) else set()
    for path in run.iterdir():
        if path.name in (TRAINING, STAGING) and path.is_dir() and not path.is_symlink():
            mine = set(ours(path))
            found += [f"{path.name}/{inner.name}" for inner in path.iterdir() if inner not in mine]
        elif path.name not in names and not _partial(path.name, set(RUN_FILES)):
            found.append(path.name)
    return sorted(found)


def is_run(run: Path) -> bool:
    """Whether there are a run's settings and weights: other programs have files of the same names."""
    if not (run / WEIGHTS).is_file():
        return False
    try:
        config = json.loads((run / CONFIG).read_bytes()) if (run / CONFIG).is_file() else None
    except (ValueError, RecursionError):
        config = None
    return (isinstance(config, dict) and "format_version" in config) or committed(run) is not None


def is_abandoned(run: Path) -> bool:
    """Whether there is the beginning of a run that has saved nothing yet, and nothing else: of one that is being
    trained, or was killed."""
    try:
        begun = (run / STAGING).is_dir() and not any((run / name).exists() for name in RUN_FILES)
        return begun and not foreign(run)
    except OSError:
        return False


def remove(folder: Path, files: Iterable[Path]) -> None:
    """Removes these files, and the folder if it is empty then."""
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def committed(run: Path) -> list[str] | None:
    """The files that belong to the run in training.new/, if its weights stand in the run directory; or None."""
    try:
        commit = json.loads((run / STAGING / COMMIT).read_bytes())
        if commit["weights"] == hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest():
            return [str(name) for name in commit["files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def settings_file(run: Path, name: str) -> Path:
    """Where config.json or tokenizer.json of a run is."""
    staged = run / STAGING / name
    if (run / STAGING / COMMIT).is_file() and staged.is_file() and committed(run) is not None:
        return staged
    return run / name


def _partial(name: str, of: set[str]) -> bool:
    """Whether this is what write_atomically leaves of one of these files when it is killed."""
    return name.startswith(".") and name.endswith(".partial") and name[1 : -len(".partial")] in of
