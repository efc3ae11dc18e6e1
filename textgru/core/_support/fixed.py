"""Attributes that keep the value they were given first: what was checked then, compiled code relies on later."""

from __future__ import annotations

from typing import ClassVar


class Fixed:
    """Attributes named in `_fixed` can be set once; later only to the very same object, as `x.values *= 2` does."""

    _fixed: ClassVar[frozenset[str]] = frozenset()

    def __setattr__(self, name: str, value: object) -> None:
        fields = self.__dict__
        if name in fields and name in self._fixed and fields[name] is not value:
            raise AttributeError(f"{name}: can't be replaced{self._instead(name)}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._fixed:
            raise AttributeError(f"{name}: can't be deleted")
        object.__delattr__(self, name)

    def _instead(self, name: str) -> str:
        """What to do, for the message."""
        return f"; make another {type(self).__name__}"
