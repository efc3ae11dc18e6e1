"""Methods of an object that only one thread may be in at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


def new_lock() -> Any:
    """What `alone` wants as the object's `_lock`; it can't be copied."""
    return RLock()


def alone(method: Method) -> Method:
    """Raises RuntimeError where another thread is in such a method of the same object."""

    @wraps(method)
    def guarded(self: Any, /, *arguments: Any, **keywords: Any) -> Any:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f"{type(self).__name__}.{method.__name__}: another thread is using this object; "
                "give each thread a copy, or take turns with a lock"
            )
        try:
            return method(self, *arguments, **keywords)
        finally:
            self._lock.release()

    return cast(Method, guarded)
