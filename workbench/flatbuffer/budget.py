"""A bound on the work that one file may ask for, in proportion to its size."""

from __future__ import annotations

# A file that shares nothing is read once; twice leaves room for what writers do share.
_TIMES = 2
# So that the smallest of files may share too.
_ALWAYS = 1 << 16


class Spent(Exception):
    """More was asked for than a file of this size can hold: its parts are shared until they seem endless."""


class Budget:
    """What may still be spent on a file of `size` bytes: `times` as much as it holds, and a little more."""

    def __init__(self, size: int, times: int = _TIMES, always: int = _ALWAYS) -> None:
        self.left = times * size + always

    def spend(self, amount: int) -> None:
        """Take an amount off; raises Spent where it is not there."""
        self.left -= amount
        if self.left < 0:
            raise Spent

    def allows(self, amount: int) -> bool:
        """Take an amount off if it is there, and say whether it was."""
        if amount > self.left:
            return False
        self.left -= amount
        return True
