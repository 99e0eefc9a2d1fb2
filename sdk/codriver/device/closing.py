"""What a `with` closes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from codriver.errors import CodriverError

T = TypeVar("T")


class Closing(ABC):
    """Has a close(), which a `with` calls. If that fails too, what went wrong first is what is told."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except CodriverError:
            if error is None:
                raise
