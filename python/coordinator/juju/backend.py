"""Where the units of an application coordinate, if not over their peer relation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from coordinator import Tls

__all__ = ["Backend"]


@dataclass(frozen=True)
class Backend:
    """A scope on a store, in which an application takes turns with whoever else is in it.

    All units of all applications that name the same scope of the same store follow the same rules.
    The application moves there as soon as its leader runs a hook in which no unit holds a lock;
    to move back it needs the same settings with ``is_wanted=False``. It never goes anywhere by
    itself: while the store cannot be reached nothing is granted, and the coordinator's ``trouble``
    says why.

    Attributes:
        url: ``zookeeper://host:port,.../chroot``, or ``embedded:/directory`` where all units are on
            one host.
        scope: the scope's name.
        is_wanted: whether the application should coordinate there.
        session_timeout: as in :func:`coordinator.connect`.
        connect_timeout: seconds or a timedelta for which a hook tries to reach the store.
        auth: as in :func:`coordinator.connect`; give secrets as ``file:/path``.
        default_acl: as in :func:`coordinator.connect`.
        tls: as in :func:`coordinator.connect`.
        missing: what an operator has to do before the store can be reached at all.

    """

    url: str
    scope: str
    is_wanted: bool = True
    session_timeout: float | timedelta | None = None
    connect_timeout: float | timedelta | None = None
    auth: str | None = None
    default_acl: tuple[str, ...] = ()
    tls: Tls | None = None
    missing: str | None = None

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Backend({self.url!r}, scope={self.scope!r}, is_wanted={self.is_wanted})"
