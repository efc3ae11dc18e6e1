"""The lock of the process that writes to a run directory; it goes with the process, however that ends."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}  # of a file system that has none


class Locked(Exception):  # noqa: N818 (a state, not an error)
    """Another process holds the lock."""


class Lock:
    """Holds the lock on a file, which is made if it isn't there. Raises Locked, or OSError if there can't be one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made = not path.exists()
        while True:
            self._descriptor = _open(path)
            try:
                _lock(self._descriptor)
            except BaseException:
                os.close(self._descriptor)
                raise
            if self.held:
                return
            os.close(self._descriptor)  # the file was removed by its last holder meanwhile: take the one that is there

    @property
    def held(self) -> bool:
        """Whether the locked file is still the one at its path: nobody has moved, replaced or removed the folder."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except OSError:
            return False

    def release(self, *, remove: bool = False) -> None:
        """Lets go; `remove` removes the file as well, if it is still the one that was locked."""
        if remove and self.held:
            with contextlib.suppress(OSError):
                self.path.unlink()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no file to lock", str(path))
    return descriptor


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # a system without it
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Locked from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
