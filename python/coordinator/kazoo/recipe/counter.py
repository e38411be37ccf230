"""The counter, by kazoo's name."""

from __future__ import annotations

from typing import Any

from coordinator.exceptions import Unavailable
from coordinator.kazoo.errors import translated
from coordinator.kazoo.exceptions import ConnectionLoss
from coordinator.kazoo.paths import normal
from coordinator.kazoo.recipe.handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient


class Counter:
    """A value that many members change: ``counter += 2``.

    Args:
        client: A client.
        path: Where.
        default: The value of a counter that was never changed; all values have its type.
        support_curator: Whether the node holds four bytes, as that of Curator's ``SharedCount``.

    Attributes:
        pre_value: What it was before our last change.
        post_value: What our last change made of it.
    """

    def __init__(
        self, client: KazooClient, path: str, default: Any = 0, support_curator: bool = False
    ) -> None:
        if support_curator and not isinstance(default, int):
            raise TypeError("a counter of Curator's has whole numbers only: give an int as default")
        self.client = client
        self.path = path
        self.default = default
        self.default_type = type(default)
        self.support_curator = support_curator
        self.pre_value: Any = None
        self.post_value: Any = None
        self._handle = Handle(
            client,
            "",
            lambda core: core.counter(normal(path), default, curator=support_curator),
        )

    @property
    def value(self) -> Any:
        """The value."""
        with translated(self.client):
            return self._handle().value()

    def _change(self, number: Any) -> Counter:
        """Add, once.

        Raises:
            TypeError: the number is of another type than the values.
            ConnectionLoss: the connection broke, and nobody can tell whether it was changed.
        """
        try:
            self.pre_value, self.post_value = self._handle()._change(number)
        except Unavailable as error:
            self.post_value = None
            raise ConnectionLoss(str(error)) from error
        return self

    def __add__(self, number: Any) -> Counter:
        return self._change(number)

    def __sub__(self, number: Any) -> Counter:
        return self._change(-number)
