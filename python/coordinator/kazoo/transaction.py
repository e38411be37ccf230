"""Transactions, by kazoo's names."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from coordinator.kazoo.exceptions import (
    KazooException,
    RolledBackError,
    RuntimeInconsistency,
    refusal,
)
from coordinator.kazoo.handlers.threading import AsyncResult
from coordinator.kazoo.nodes import creating, setting, versioned
from coordinator.kazoo.protocol.states import ZnodeStat
from coordinator.kazoo.security import ACL
from coordinator.kazoo.session import Ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient

_FAILED_IN_PART = 2


class TransactionRequest:
    """Changes that are made together, or not at all. Made by a client; for one thread.

    Attributes:
        committed: Whether it was sent.
    """

    def __init__(self, client: KazooClient) -> None:
        self.client = client
        self.operations: list[tuple[Any, ...]] = []
        self.committed = False

    def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> None:
        """Make a node."""
        self.client._check_acl(acl)
        self._add(creating(path, value, ephemeral, sequence))

    def delete(self, path: str, version: int = -1) -> None:
        """Remove a node."""
        self._add(versioned("delete", path, version))

    def set_data(self, path: str, value: bytes | None, version: int = -1) -> None:
        """Replace what a node holds."""
        self._add(setting(path, value, version))

    def check(self, path: str, version: int) -> None:
        """Make all of it depend on the version of a node."""
        self._add(versioned("check", path, version))

    def commit(self) -> list[Any]:
        """Send it; what each part gave, or the exceptions that say why nothing was done."""
        results: list[Any] = self.client._open().call(self._commit())
        return results

    def commit_async(self) -> AsyncResult:
        """Begin :meth:`commit`."""
        return self.client._open().submit(self._commit())

    def __enter__(self) -> TransactionRequest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.commit()

    def _add(self, operation: tuple[Any, ...]) -> None:
        self._check()
        self.operations.append(operation)

    def _check(self) -> None:
        if self.committed:
            raise ValueError("the transaction is committed already: begin another one")

    def _commit(self) -> Ask:
        self._check()
        self.committed = True
        return Ask(("multi", list(self.operations)), self._results, rejected=self._rejected)

    def _results(self, answers: list[Any]) -> list[Any]:
        return [_result(answer) for answer in answers]

    def _rejected(self, code: int, value: Any) -> list[KazooException]:
        if code != _FAILED_IN_PART:
            raise refusal(code, value)
        failed, reason, message = value
        kinds = [
            RolledBackError if part < failed else RuntimeInconsistency for part in self._parts()
        ]
        results: list[KazooException] = [kind() for kind in kinds]
        results[failed] = refusal(reason, message)
        return results

    def _parts(self) -> range:
        return range(len(self.operations))


def _result(answer: Any) -> Any:
    if answer is None:
        return True
    return answer[0] if isinstance(answer[0], str) else ZnodeStat(*answer)
