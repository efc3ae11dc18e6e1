"""The text that a run was trained on, read again, and whether it is still that text."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from textgru.analysis.novelty_search import Search
from textgru.errors import InputError, shown
from textgru.runs.records import CorpusRecord
from textgru.runs.run import Run
from textgru.text.encodings import check_encoding
from textgru.text.file_hash import Hash
from textgru.text.files import check_files, find_files, read_blocks, spool
from textgru.text.spooling import STANDARD_INPUT, SpooledFile

HINT = "name the text with --text FILE"


def training_files(run: Run) -> list[Path]:
    """The files that a run was trained on, by the names that they were given then. Raises InputError where they aren't
    known or are not there."""
    corpus = run.record.corpus
    if corpus is None or not corpus.files:
        raise InputError(f"{shown(run.path)}: does not say what text it was trained on; {HINT}")
    for name in corpus.files:
        if name == STANDARD_INPUT:
            raise InputError(f"{shown(run.path)}: was trained on standard input, which is gone; {HINT}")
        if not Path(name).is_file():
            raise InputError(f"{shown(name)}: the text that the model was trained on is not there; {HINT}")
    return [Path(name) for name in corpus.files]


def read_training_text(
    run: Run,
    search: Search,
    files: Sequence[str | Path] | None = None,
    encoding: str = "utf-8",
    on_read: Callable[[int, int], None] | None = None,
) -> bool | None:
    """Gives the training's text, or that of `files`, to the search. Whether it is what the run was trained on, by the
    hash of its tokens; of a run that has no hash, by their number; None for a run that says nothing of its text.

    `on_read` is called with the bytes read so far and in all. Raises InputError for what can't be read.
    """
    check_encoding(encoding)
    found = training_files(run) if files is None else find_files(files)
    check_files(found, encoding)
    corpus = run.record.corpus
    with tempfile.TemporaryDirectory(prefix="textgru-") as folder:
        paths = spool(found, Path(folder))
        size, done = sum(Path(path).stat().st_size for path in paths), 0

        def read(count: int) -> None:
            nonlocal done
            done += count
            if on_read is not None:
                on_read(done, size)

        def searched(documents: Sequence[Path | SpooledFile]) -> Iterator[str]:
            for block in read_blocks(documents, encoding, read):
                search.feed(block)
                yield block

        apart = corpus is not None and corpus.separate_documents
        digest, tokens = Hash(), 0
        for document in [[path] for path in paths] if apart else [paths]:
            for ids in run.tokenizer.encode_blocks(searched(document)):
                digest.update(ids.data)
                tokens += len(ids)
            if apart:
                digest.update(np.array([run.tokenizer.eos_id], run.tokenizer.id_type).data)
                tokens += 1
            search.end_document()
    return _is_same(corpus, digest.hexdigest(), tokens)


def _is_same(corpus: CorpusRecord | None, sha256: str, tokens: int) -> bool | None:
    if corpus is None:
        return None
    if corpus.sha256 is None:
        return tokens == corpus.train_tokens + corpus.validation_tokens
    return sha256 == corpus.sha256
