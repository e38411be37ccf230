"""kazoo's exceptions, by kazoo's names."""

from __future__ import annotations

from coordinator.exceptions import AcquireTimeout, CoordinatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class KazooException(Exception):
    """Any exception of this module."""


class NotProvidedError(KazooException, NotImplementedError, AttributeError):
    """A part of kazoo that this module does not have; the message says what to do instead.

    kazoo has no such exception.
    """


class CancelledError(KazooException):
    """The waiting was ended by ``cancel``."""


class ConfigurationError(KazooException):
    """An argument of the client is wrong."""


class ZookeeperStoppedError(KazooException):
    """The client was stopped."""


class ConnectionDropped(KazooException):
    """The connection broke; never raised here."""


class LockTimeout(KazooException, AcquireTimeout):
    """The lock did not become free in time. Also one of this package's own errors."""


class WriterNotClosedException(KazooException):
    """A connection did not end; never raised here."""


class SASLException(KazooException):
    """SASL failed at this end; never raised here."""


class ZookeeperError(KazooException):
    """The store refused, or did not answer.

    Attributes:
        code: ZooKeeper's number for it; None for what has none here.
    """

    code: ClassVar[int | None] = None


class RolledBackError(ZookeeperError):
    """Another part of the transaction failed."""

    code = 0


class SystemZookeeperError(ZookeeperError):
    """The server failed."""

    code = -1


class RuntimeInconsistency(ZookeeperError):
    """An earlier part of the transaction failed."""

    code = -2


class DataInconsistency(ZookeeperError):
    """The server's data are inconsistent."""

    code = -3


class ConnectionLoss(ZookeeperError):
    """The connection broke: what was asked happened, or it did not."""

    code = -4


class MarshallingError(ZookeeperError):
    """A request or answer could not be read."""

    code = -5


class UnimplementedError(ZookeeperError):
    """The server does not know the operation."""

    code = -6


class OperationTimeoutError(ZookeeperError):
    """The operation took too long."""

    code = -7


class BadArgumentsError(ZookeeperError):
    """The arguments are invalid."""

    code = -8


class NewConfigNoQuorumError(ZookeeperError):
    """A new configuration has no quorum."""

    code = -13


class ReconfigInProcessError(ZookeeperError):
    """Another reconfiguration is going on."""

    code = -14


class APIError(ZookeeperError):
    """The server refused."""

    code = -100


class NoNodeError(ZookeeperError):
    """The node, or its parent, does not exist."""

    code = -101


class NoAuthError(ZookeeperError):
    """The access control list does not allow it."""

    code = -102


class BadVersionError(ZookeeperError):
    """The node has another version."""

    code = -103


class NoChildrenForEphemeralsError(ZookeeperError):
    """An ephemeral node has no children."""

    code = -108


class NodeExistsError(ZookeeperError):
    """The node exists."""

    code = -110


class NotEmptyError(ZookeeperError):
    """The node has children."""

    code = -111


class SessionExpiredError(ZookeeperError):
    """The session has ended."""

    code = -112


class InvalidCallbackError(ZookeeperError):
    """The callback is invalid."""

    code = -113


class InvalidACLError(ZookeeperError):
    """The access control list is invalid."""

    code = -114


class AuthFailedError(ZookeeperError):
    """The servers refuse who we are."""

    code = -115


class SessionMovedError(ZookeeperError):
    """The session is with another server now."""

    code = -118


class NotReadOnlyCallError(ZookeeperError):
    """The server is read-only."""

    code = -119


class QuotaExceededError(ZookeeperError):
    """The store has no room."""

    code = -125


class ThrottledOpError(ZookeeperError):
    """The server has too much to do."""

    code = -127


class ConnectionClosedError(SessionExpiredError):
    """The client is not started, or was stopped."""


ConnectionLossException = ConnectionLoss
MarshallingErrorException = MarshallingError
SystemErrorException = SystemZookeeperError
RuntimeInconsistencyException = RuntimeInconsistency
DataInconsistencyException = DataInconsistency
UnimplementedException = UnimplementedError
OperationTimeoutException = OperationTimeoutError
BadArgumentsException = BadArgumentsError
ApiErrorException = APIError
NoNodeException = NoNodeError
NoAuthException = NoAuthError
BadVersionException = BadVersionError
NoChildrenForEphemeralsException = NoChildrenForEphemeralsError
NodeExistsException = NodeExistsError
InvalidACLException = InvalidACLError
AuthFailedException = AuthFailedError
NotEmptyException = NotEmptyError
SessionExpiredException = SessionExpiredError
InvalidCallbackException = InvalidCallbackError


def _by_code(kind: type[ZookeeperError]) -> dict[int, type[ZookeeperError]]:
    found = {} if kind.code is None else {kind.code: kind}
    for below in kind.__subclasses__():
        # One without a number of its own is a special case of the one above it.
        if below.code != kind.code:
            found |= _by_code(below)
    return found


EXCEPTIONS = _by_code(ZookeeperError)


def refusal(code: int, message: str) -> ZookeeperError:
    """Make the exception for what the store answered."""
    return EXCEPTIONS.get(code, ZookeeperError)(message)


__all__ = [
    name
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, KazooException)
] + ["EXCEPTIONS", "CoordinatorError"]
