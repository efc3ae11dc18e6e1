"""SHA-256 of what is read or written in blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

_BLOCK_BYTES = 1 << 22
_ALONE = 1 << 16  # bytes from which a block is hashed on a thread of its own


class Hash:
    """SHA-256 of bytes that come in blocks. Large ones are hashed beside what the caller does next: no block may be
    written to afterwards."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def update(self, block: bytes | memoryview) -> None:
        self._wait()
        if len(block) < _ALONE:
            self._digest.update(block)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1)
        self._pending = self._thread.submit(self._digest.update, block)

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        self._wait()
        return self._digest.hexdigest()

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None


def hash_file(path: Path, on_read: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file. `on_read` is called with the bytes that were read. Raises OSError."""
    digest, block = hashlib.sha256(), bytearray(_BLOCK_BYTES)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            digest.update(memoryview(block)[:size])
            if on_read is not None:
                on_read(size)
    return digest.hexdigest()
