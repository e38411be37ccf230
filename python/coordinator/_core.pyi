import os
from asyncio import Future
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, final, type_check_only

from typing_extensions import disjoint_base

from coordinator.juju.backend import Backend

__all__ = [
    "Agent",
    "Barrier",
    "Client",
    "Counter",
    "DoubleBarrier",
    "Election",
    "Grant",
    "Hook",
    "Lease",
    "Lock",
    "Lost",
    "Nodes",
    "Partitioner",
    "Party",
    "Scope",
    "ScopeGrant",
    "Semaphore",
    "Shares",
    "States",
    "Switch",
    "__version__",
    "acquire_unless",
    "authenticate",
    "connect",
    "connect_async",
    "contenders_before",
    "kazoo_connect",
    "kazoo_double_barrier",
    "kazoo_lock",
    "kazoo_party",
    "named",
    "nodes",
    "release_lock",
    "run_command",
    "session_id",
    "show_locks",
    "states",
]

__version__: str

_T = TypeVar("_T")
_Timeout: TypeAlias = float | timedelta | None
_Path: TypeAlias = str | os.PathLike[str]
_Tools: TypeAlias = Callable[[list[str], bytes | None], tuple[int, bytes, bytes]]

@type_check_only
class _Event(Protocol):
    def set(self) -> object: ...

_PartitionFunction: TypeAlias = (
    Callable[[str, list[str], Any], Iterable[Any]] | Literal["sticky"] | None
)
_ItemsCallback: TypeAlias = Callable[[list[Any]], object] | None

@final
class Agent:
    def __new__(cls, client: Client, scope: str, member: str) -> Agent: ...
    def turn(self, now: float) -> tuple[list[str] | None, float | None]: ...
    def called(self, now: float, well: bool) -> list[str]: ...
    def has_changed(self) -> bool: ...

@final
class Hook:
    def __new__(
        cls,
        environment: Mapping[str, str],
        *,
        key: str,
        relation: str,
        rules: str,
        announce: bool,
        legacy_file: str,
        backend: Backend | None = None,
        tools: _Tools | None = None,
        monotonic: Callable[[], float] | None = None,
        time_limit: float = 120.0,
    ) -> Hook: ...
    @property
    def unit(self) -> str: ...
    @property
    def relation(self) -> str | None: ...
    @property
    def scope(self) -> str | None: ...
    @property
    def member(self) -> str: ...
    @property
    def trouble(self) -> str | None: ...
    def check(self, lock: str) -> None: ...
    def settle(self) -> bool: ...
    def say_goodbye(self) -> None: ...
    def open(self, now: str) -> None: ...
    def handle(self) -> None: ...
    def acquire(self, lock: str, now: str) -> bool: ...
    def hold(self, lock: str) -> None: ...
    def release(self, lock: str, outcome: str) -> None: ...
    def close(self) -> None: ...
    def publish(self) -> None: ...
    def refresh(self) -> None: ...
    def is_leader(self) -> bool: ...
    def confirm(self) -> bool: ...
    def may_decide(self) -> bool: ...
    def held(self) -> dict[str, int | None]: ...
    def requests(self) -> dict[str, dict[str, str]]: ...
    def grants(self) -> dict[str, dict[str, str]]: ...
    def waiting(self) -> list[tuple[str, str]]: ...
    def holders(self, lock: str) -> set[str]: ...
    def queue(self, lock: str) -> list[str]: ...
    def give(self, lock: str, unit: str) -> bool: ...
    def take_news(self) -> tuple[list[tuple[str, str, str, str]], list[str]]: ...

def release_lock(
    environment: Mapping[str, str],
    unit: str,
    lock: str,
    reason: str,
    now: str,
    *,
    key: str,
    relation: str,
    rules: str,
    tools: _Tools | None = None,
) -> list[int]: ...
def show_locks(
    environment: Mapping[str, str],
    *,
    key: str,
    relation: str,
    tools: _Tools | None = None,
) -> dict[str, Any]: ...
def connect(
    url: str,
    identifier: str | None,
    session_timeout: float | timedelta | None,
    connect_timeout: float | timedelta | None,
    auth: str | None,
    default_acl: list[str] | None,
    tls_ca: _Path | None,
    tls_identity: tuple[_Path, _Path] | None,
) -> Client: ...
def connect_async(
    url: str,
    identifier: str | None,
    session_timeout: float | timedelta | None,
    connect_timeout: float | timedelta | None,
    auth: str | None,
    default_acl: list[str] | None,
    tls_ca: _Path | None,
    tls_identity: tuple[_Path, _Path] | None,
) -> Future[Client]: ...
def kazoo_connect(
    url: str,
    session_timeout: float,
    connect_timeout: float,
    credentials: list[tuple[str, str]],
    acl: list[str],
    tls_ca: _Path | None,
    tls_identity: tuple[_Path, _Path] | None,
) -> Client: ...
def named(client: Client, identifier: str) -> Client: ...
def authenticate(client: Client, scheme: str, credential: str) -> None: ...
def session_id(client: Client) -> int | None: ...
def nodes(client: Client) -> Nodes: ...
def states(client: Client) -> States: ...
def kazoo_lock(
    client: Client,
    path: str,
    side: Literal["lock", "read", "write"],
    lasting: bool,
    foreign_marks: list[str],
) -> Lock: ...
def kazoo_party(client: Client, path: str, shallow: bool, unique: str) -> Party: ...
def kazoo_double_barrier(client: Client, path: str, members: int, unique: str) -> DoubleBarrier: ...
def contenders_before(
    children: list[str],
    name: str,
    side: Literal["lock", "read", "write"],
    foreign_marks: list[str],
) -> list[str]: ...
def run_command(program: Sequence[str], arguments: Sequence[str]) -> int: ...
def acquire_unless(
    lock: Lock, switch: Switch, timeout: _Timeout, blocking: bool
) -> tuple[Grant | None, bool]: ...

@final
class Switch:
    def __new__(cls) -> Switch: ...
    def throw(self) -> None: ...

@final
class States:
    def next(self) -> Literal["connected", "suspended", "lost"] | None: ...

@final
class Nodes:
    def call(self, request: tuple[Any, ...], watch: int | None = None) -> tuple[int, Any]: ...
    def submit(self, number: int, request: tuple[Any, ...], watch: int | None = None) -> None: ...
    def next(self) -> tuple[Any, ...] | None: ...
    def close(self) -> None: ...

@final
class Client:
    """A session on a store, and the recipes on it. Made by :func:`coordinator.connect`.

    It may be shared by threads. In a forked child it raises ForkedError: connect anew there.
    """

    @property
    def identifier(self) -> str:
        """How this member names itself to the others."""

    @property
    def address(self) -> str:
        """Where the store is, without secrets."""

    @property
    def state(self) -> Literal["connected", "suspended", "lost"]:
        """What the session says of itself, by this host's own clock.

        Suspended: the store does not answer; grants are good until their deadline. Lost: every
        grant has ended; the next operation opens a new session.
        """

    def lock(self, path: str, *, timeout: _Timeout = None, blocking: bool = True) -> Lock:
        """Make an exclusive lock: fair, not re-entrant. Node for node kazoo's ``Lock``.

        Args:
            path: absolute, as in ``"/deploy"``.
            timeout: how long ``acquire`` and ``with`` wait: seconds, a timedelta, or None.
            blocking: whether they wait at all.

        Raises:
            Invalid: no such path is possible.
        """

    def read_lock(self, path: str, *, timeout: _Timeout = None, blocking: bool = True) -> Lock:
        """Make the shared side of a read and write lock; arguments as of :meth:`lock`."""

    def write_lock(self, path: str, *, timeout: _Timeout = None, blocking: bool = True) -> Lock:
        """Make the exclusive side of a read and write lock; arguments as of :meth:`lock`."""

    def semaphore(
        self,
        path: str,
        max_leases: int = 1,
        *,
        ephemeral: bool = True,
        max_hold: _Timeout = None,
        timeout: _Timeout = None,
        blocking: bool = True,
    ) -> Semaphore:
        """Make a counting semaphore: at most ``max_leases`` members hold it at a time.

        Args:
            path: absolute, as in ``"/restart"``.
            max_leases: all members of a path have to agree on it.
            ephemeral: whether leases end with the session. One that does not outlives the
                process; the member with the same identifier that asks again is given it, so
                the client must have been given an identifier.
            max_hold: how long a lease may be held: seconds or a timedelta, counted by the store's
                clock. After that whoever waits takes it away, also if its holder was killed; a
                holder that still acts does so beside the next one. kazoo knows nothing of it.
            timeout: as of :meth:`lock`.
            blocking: as of :meth:`lock`.

        Raises:
            Invalid: no such path or number is possible.
        """

    def lease(
        self,
        path: str,
        duration: float | timedelta,
        *,
        identifier: str | None = None,
        timeout: _Timeout = None,
        max_clock_skew: _Timeout = None,
        utcnow: Callable[[], datetime] | None = None,
    ) -> Lease:
        """Ask for a lease that one member holds at a time: kazoo's ``NonBlockingLease``.

        A lease outlives sessions and processes: it ends by the wall clock. Whoever asks again
        under the same identifier renews it. It never waits for another's lease to end.

        Args:
            path: absolute, as in ``"/db_leases/cleanup"``.
            duration: seconds or a timedelta. Whole seconds are stored, so it may end up to 1 s
                earlier.
            identifier: who asks; by default the identifier of the client if one was given, else
                the name of this host.
            timeout: how long this and ``renew`` and ``release`` may take behind others that look
                at the lease, or behind a store that does not answer; None for 5 s.
            max_clock_skew: the most by which the clocks of any two members may differ; None for
                1 s. We take a lease over so much after its end, and ours is over so much before
                its own. Members with clocks further apart may hold it at once.
            utcnow: the clock, as ``datetime.datetime.utcnow``; for tests.

        Returns:
            The lease, which is true while it is ours.

        Raises:
            AcquireTimeout: it could not be decided in time; it names who is in the way.
            Corrupt: the record of the lease cannot be read.
            Invalid: no such path or duration is possible.
            Unavailable: the store does not answer.
        """

    def multi_lease(
        self,
        path: str,
        max_leases: int,
        duration: float | timedelta,
        *,
        identifier: str | None = None,
        timeout: _Timeout = None,
        max_clock_skew: _Timeout = None,
        utcnow: Callable[[], datetime] | None = None,
    ) -> Lease:
        """Ask for a lease that so many members hold at a time: kazoo's ``MultiNonBlockingLease``.

        Whoever renews keeps its slot. Arguments as of :meth:`lease`.
        """

    def _lease(
        self,
        path: str,
        max_leases: int | None,
        duration: float | timedelta,
        identifier: str | None,
        timeout: _Timeout,
        max_clock_skew: _Timeout,
        utcnow: Callable[[], datetime] | None,
    ) -> Lease: ...
    def partitioner(
        self,
        path: str,
        set: Iterable[Any],  # noqa: A002 - kazoo's name
        *,
        partition_func: _PartitionFunction = None,
        identifier: str | None = None,
        time_boundary: _Timeout = None,
        max_reaction_time: _Timeout = None,
        state_change_event: _Event | None = None,
        on_gained: _ItemsCallback = None,
        on_lost: _ItemsCallback = None,
    ) -> Partitioner:
        """Join a party that divides a set among its members: kazoo's ``SetPartitioner``.

        Each item is one member's at a time.

        Args:
            path: absolute, as in ``"/queues"``. All members give the same path and set.
            set: the items; each one's ``str`` becomes the name of a node.
            partition_func: who gets which items. None deals them out as kazoo does. ``"sticky"``
                moves as few as possible when members come and go, balanced within one; while
                members of kazoo's take part it deals them out. A function takes our identifier,
                the identifiers of all members in order and the set, and returns our items; it is
                called on a thread of its own. All members have to go by the same.
            identifier: how this member names itself, by default as its client does. No two
                members may have the same.
            time_boundary: how long the party has to be as it is before items are taken: seconds
                or a timedelta; None for 30 s.
            max_reaction_time: as kazoo's, and for its programs: we are told of changes by
                watches, and react at once.
            state_change_event: its ``set`` is called at every change of the state.
            on_gained: called with a list of items that were taken, on a thread of its own. With
                either callback the member re-partitions by itself, also in a new session after
                one that was lost, and there is no state RELEASE.
            on_lost: called with a list of items before they are given up, and waited for; after
                a lost session, with all that went with it.

        Returns:
            The member, in state ALLOCATING. Dropping it, or leaving its ``with`` block, finishes
            it.

        Raises:
            Conflict: another member has our identifier, and does not go within the session
                timeout.
            Invalid: no such path, identifier or item is possible.
            Unavailable: the store does not answer.
        """

    def partitioner_async(
        self,
        path: str,
        set: Iterable[Any],  # noqa: A002 - kazoo's name
        *,
        partition_func: _PartitionFunction = None,
        identifier: str | None = None,
        time_boundary: _Timeout = None,
        max_reaction_time: _Timeout = None,
        state_change_event: _Event | None = None,
        on_gained: _ItemsCallback = None,
        on_lost: _ItemsCallback = None,
    ) -> Future[Partitioner]: ...
    def party(self, path: str) -> Party:
        """Make a party whose members' identifiers stand in their nodes. kazoo's ``Party``."""

    def shallow_party(self, path: str) -> Party:
        """Make a party whose members' identifiers stand in the names of their nodes."""

    def barrier(self, path: str) -> Barrier:
        """Make a barrier: closed while its node exists. kazoo's ``Barrier``."""

    def double_barrier(
        self, path: str, num_clients: int, *, timeout: _Timeout = None
    ) -> DoubleBarrier:
        """Make a double barrier for so many members. kazoo's ``DoubleBarrier``.

        Args:
            path: absolute, as in ``"/upgrade"``.
            num_clients: how many begin together.
            timeout: how long ``enter`` and ``leave``, and each end of a ``with`` block, wait for
                the others: seconds, a timedelta, or None for as long as it takes.
        """

    def election(self, path: str, *, timeout: _Timeout = None, blocking: bool = True) -> Election:
        """Make an election: who holds it leads. kazoo's ``Election``; see :meth:`lock`."""

    def counter(self, path: str, default: Any = None, *, curator: bool = False) -> Counter:
        """Make a counter that many members change. Node for node kazoo's ``Counter``.

        Args:
            path: absolute, as in ``"/deployments"``.
            default: the value of a counter that was never changed, 0 if None; all values have its
                type, int or float.
            curator: whether the node holds four bytes, as that of Curator's ``SharedCount``.

        Raises:
            Invalid: no such path is possible.
            TypeError: Curator's counters are whole numbers.
        """

    def scope(self, name: str, *, rules: str = "serial") -> Scope:
        """Take part in a scope, whose members ask for locks by name under the same rules.

        Members of one scope may belong to different programs, hosts and applications. There is
        no leader: whoever changes the ledger gives what can be given.

        Args:
            name: any text of 1 to 255 bytes.
            rules: ``"serial"`` (one member at a time under each lock name), ``"simple"`` (one
                member at a time, whatever the names), ``"at most 2"`` or ``"at most 25%"``.

        Returns:
            The membership: the same one each time.

        Raises:
            Invalid: no such name or rules are possible.
            Conflict: this client takes part in it under other rules.
        """

    def close(self) -> None:
        """End the session, and give back at once all that it held."""

    def close_async(self) -> Future[None]: ...
    def __enter__(self) -> Client: ...
    def __exit__(self, *_exception: object) -> None: ...

@disjoint_base
class Lock:
    """A lock, or a side of a read and write lock. Made by a client.

    It may be shared by threads: each ``acquire`` is a place of its own in the queue.
    """

    @property
    def path(self) -> str:
        """The path that it was made with."""

    def acquire(self, timeout: _Timeout = None, blocking: bool | None = None) -> Grant | None:
        """Wait for the turn.

        Args:
            timeout: seconds or a timedelta; None for what the lock was made with.
            blocking: whether to wait; None for what the lock was made with.

        Returns:
            The grant, which is a context manager too; None if a try that does not block loses.

        Raises:
            AcquireTimeout: at most 0.1 s after the timeout; it names who is before us.
            Conflict: others use the path in another way.
            Unavailable: the store does not answer.

        Whatever it raises, KeyboardInterrupt included, nothing is left behind.
        """

    def acquire_async(
        self, timeout: _Timeout = None, blocking: bool | None = None
    ) -> Future[Grant | None]: ...
    def release(self, timeout: _Timeout = None) -> None:
        """Give back what this thread took last through this object, else what was taken last.

        Args:
            timeout: as of :meth:`Grant.release`.

        Raises:
            NotHeld: nothing is held through it.
            LockLost: the grant had ended before; others may have held the lock meanwhile.
        """

    def contenders(self) -> list[str]:
        """Return the identifiers of those who hold or wait, first to last."""

    def contenders_async(self) -> Future[list[str]]: ...
    def __enter__(self) -> Grant: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Semaphore(Lock):
    """A counting semaphore. Made by a client."""

    def lease_holders(self) -> list[str]:
        """Return the identifiers of those who hold a lease."""

    def lease_holders_async(self) -> Future[list[str]]: ...
    def status(self) -> dict[str, Any]:
        """Tell who holds, who waits, and what was done by force.

        Returns:
            ``max_leases`` (None if nobody has said it yet); ``holders``, each with ``identifier``,
            ``lease``, ``token``, ``ephemeral``, ``held_for`` and ``max_hold`` in seconds or None;
            ``waiting``, the identifiers in the queue, first to last; ``forced``, the last records,
            each with ``what`` ("released" or "acquired"), ``holder``, ``lease``, ``by`` and
            ``reason``.
        """

    def status_async(self) -> Future[dict[str, Any]]: ...
    def release_own(self) -> bool:
        """Give back the leases of this client's identifier, whichever process took them.

        Those that last, and those of this session; whether there were any. An ephemeral lease of
        another process is that one's to give back.
        """

    def release_own_async(self) -> Future[bool]: ...
    def force_acquire(self, reason: str) -> str:
        """Take a lease whether or not one is free; the reason is kept. Returns its node.

        One more than ``max_leases`` may be held then. :meth:`release_own` gives it back.
        """

    def force_acquire_async(self, reason: str) -> Future[str]: ...
    def force_release(self, holder: str, reason: str) -> list[str]:
        """Take away the leases of a holder, or the one lease of this name; the reason is kept.

        The holder is not asked, and may still act: make sure that it is gone.

        Returns:
            The identifiers of those who held them.

        Raises:
            NotHeld: there is no such lease.
        """

    def force_release_async(self, holder: str, reason: str) -> Future[list[str]]: ...

@final
class Election(Lock):
    """An election, and this client's candidacy. Made by a client.

    ``acquire`` and ``with`` wait until this client leads; what they give is the grant.
    """

    def leader(self) -> str | None:
        """Return the identifier of the leader; None without candidates."""

    def leader_async(self) -> Future[str | None]: ...
    def run(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Wait until elected, call ``function(grant, ...)``, and resign when it returns.

        Returns:
            What the function returns.

        Raises:
            AcquireTimeout: not elected within the election's timeout.
            LockLost: the leadership had ended before the function did: it asks ``grant.check()``.
        """

@final
class Counter:
    """A counter that many members change. Made by a client."""

    @property
    def path(self) -> str:
        """The path that it was made with."""

    def value(self) -> Any:
        """Return the value; the default if it was never changed.

        Raises:
            Corrupt: the node holds something else.
        """

    def value_async(self) -> Future[Any]: ...
    def add(self, number: Any) -> Any:
        """Add, once, and return what it is then.

        Raises:
            TypeError: the number is of another type than the values.
            Unavailable: the connection broke, and nobody can tell whether it was changed.
        """

    def add_async(self, number: Any) -> Future[Any]: ...
    def _change(self, number: Any) -> tuple[Any, Any]: ...

@final
class Grant:
    """A turn that has come: held until it is released or lost. Locks give it.

    It cannot be pickled: it stands for a session of this process. In a forked child it raises
    ForkedError, and never gives back what the parent holds.
    """

    @property
    def token(self) -> int:
        """The fencing token: larger than that of every earlier grant of the same lock.

        It is the store's own transaction number, so it grows also when the lock's node, its
        parents or the whole tree were deleted and made again.
        """

    @property
    def path(self) -> str:
        """The node that stands for this grant in the store."""

    @property
    def holder(self) -> str:
        """The identifier of the holder."""

    @property
    def deadline(self) -> float | None:
        """Until when the grant is good if the store stays silent, on ``time.monotonic()``.

        It moves on with every answer. None where a grant does not end by time.
        """

    @property
    def _released(self) -> bool: ...
    @property
    def lost(self) -> Lost:
        """The event that the grant has ended without a release."""

    def check(self) -> None:
        """Raise unless the grant is held. Never waits: our own clock decides.

        Raises:
            LockLost: it has ended without a release; stop what it guarded.
            NotHeld: it was released.
        """

    def release(self, timeout: _Timeout = None) -> None:
        """Give the grant back, and wake the next in line.

        Args:
            timeout: how long to wait for the store to confirm it: seconds, a timedelta, or None for
                2/3 of the session timeout, after which the session and all it held have ended.

        Raises:
            LockLost: it had ended before; others may have held the lock meanwhile.
            NotHeld: it was released before.
            Invalid: the store does not let this member remove its node; its session was ended
                instead, which gives back all that it held.
            Unavailable: a lease that outlives its session is held still; release it again. Or the
                timeout has passed, and the release goes on in the background.
        """

    def release_async(self, timeout: _Timeout = None) -> Future[None]: ...
    def write(self, path: str, data: bytes) -> None:
        """Write a node of the same store if, and only if, the grant is still held.

        The store checks it in the transaction that writes: a holder that was paused, and does not
        know yet that its turn is over, writes nothing.

        Raises:
            LockLost: it had ended, and nothing was written.
            Invalid: the node's parent does not exist, or the store does not allow it; nothing was
                written.
            Unavailable: the connection broke; it was written, or not.
        """

    def write_async(self, path: str, data: bytes) -> Future[None]: ...
    def __enter__(self) -> Grant: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Scope:
    """The membership of a client in a scope. Made by a client."""

    @property
    def name(self) -> str:
        """The name that it was made with."""

    @property
    def rules(self) -> str:
        """The rules that this member follows."""

    def acquire(
        self, lock: str, timeout: _Timeout = None, blocking: bool = True
    ) -> ScopeGrant | None:
        """Ask for a lock of the scope and wait for the turn.

        Threads of this process that ask for the same lock go one after the other.

        Args:
            lock: its name, such as ``"restart"``.
            timeout: seconds or a timedelta; None waits for ever.
            blocking: whether to wait.

        Returns:
            The grant, which is a context manager; None if a try that does not block loses.

        Raises:
            AcquireTimeout: the turn did not come in time.
            Conflict: the others follow other rules, or another process has our identifier.
            Unavailable: the store does not answer.

        Whatever it raises, KeyboardInterrupt included, the request is withdrawn.
        """

    def acquire_async(
        self, lock: str, timeout: _Timeout = None, blocking: bool = True
    ) -> Future[ScopeGrant | None]: ...
    def status(self) -> dict[str, Any]:
        """Return who holds, who waits and who is there.

        Keys: ``scope``, ``rules``, ``holders`` (each with ``member``, ``lock``, ``token``,
        ``asked``, ``since``, ``used``), ``queue`` (``member``, ``lock``, ``asked``) and ``members``
        (``member``, ``present``). Times are wall clocks of members, for people to read.

        Raises:
            Invalid: nobody ever asked for anything in this scope.
            Unavailable: the store does not answer.
        """

    def _status_async(self) -> Future[str]: ...
    def history(self) -> list[dict[str, Any]]:
        """Return the last grants that have ended, the oldest first; some hundreds are kept.

        Keys: ``token``, ``member``, ``lock``, ``asked``, ``granted``, ``used``, ``ended``,
        ``outcome`` (``"ok"`` or ``"failed"``), ``why`` (``"released"``, ``"gone"`` or
        ``"forced"``) and an operator's ``reason``.
        """

    def _history_async(self) -> Future[str]: ...
    def force_release(self, member: str, lock: str, reason: str) -> None:
        """End the grant of ``lock`` to ``member`` by an operator's word; the reason is kept.

        The holder is told by its grant's ``lost``, but not stopped: whoever calls this vouches
        that it does no guarded work, or guards the resource with tokens.

        Raises:
            NotHeld: there is no such grant.
            Invalid: there is no reason.
        """

    def force_release_async(self, member: str, lock: str, reason: str) -> Future[None]: ...

@final
class ScopeGrant:
    """A turn in a scope: held until it is released or lost. Scopes give it."""

    @property
    def token(self) -> int:
        """The fencing token: larger than that of every earlier grant of the scope."""

    @property
    def lock(self) -> str:
        """The lock."""

    @property
    def holder(self) -> str:
        """The identifier of the holder."""

    @property
    def deadline(self) -> float | None:
        """Until when the grant is good if the store stays silent, on ``time.monotonic()``."""

    @property
    def lost(self) -> Lost:
        """The event that the grant has ended without a release."""

    def check(self) -> None:
        """Raise LockLost once the grant has ended without a release. Never waits."""

    def release(self, outcome: str = "ok") -> None:
        """Give the grant back, with the outcome of the work: ``"ok"`` or ``"failed"``.

        Raises:
            LockLost: it had ended before.
            NotHeld: it was released before.
            Unavailable: the store did not answer; it ends with the session.
        """

    def release_async(self, outcome: str = "ok") -> Future[None]: ...
    def __enter__(self) -> ScopeGrant: ...
    def __exit__(self, *exception: object) -> None:
        """Release, unless that was done: as failed, if an exception ends the block."""

@final
class Lost:
    """The event that a grant has ended without a release."""

    def is_set(self) -> bool:
        """Whether it has. Never waits."""

    def wait(self, timeout: _Timeout = None) -> bool:
        """Wait until it has, at most for ``timeout``; whether it has."""

    def wait_async(self, timeout: _Timeout = None) -> Future[bool]: ...

@final
class Lease:
    """A lease. A client makes it, and asks for it.

    It is true while, and only while, it is ours: by the wall clock, less ``max_clock_skew``, and
    never for longer than its duration by a clock that nobody sets. Dropping it gives nothing back;
    leaving its ``with`` block does.
    """

    @property
    def path(self) -> str:
        """The path that it was made with."""

    @property
    def identifier(self) -> str:
        """Who asks; whoever asks again under the same name renews."""

    @property
    def obtained(self) -> bool:
        """Whether it was obtained, and not denied or given back since: it may have ended."""

    @property
    def expires_at(self) -> datetime | None:
        """Until when it is ours, by this host's clock, in UTC; None if it was not obtained."""

    @property
    def token(self) -> int | None:
        """The fencing token: larger than that of every earlier holder.

        It stays the same while the lease is renewed before its end. None if it was not obtained.
        """

    @property
    def holder(self) -> str | None:
        """Who held it when we last asked: we, or who denied it."""

    def renew(self) -> bool:
        """Have it last its whole duration from now on, or ask for it again; whether it is ours.

        Raises:
            AcquireTimeout: it could not be decided in time. What was ours is ours until its end.
            Corrupt: the record of the lease cannot be read.
            Unavailable: the store does not answer.
        """

    def renew_async(self) -> Future[bool]: ...
    def release(self) -> bool:
        """Give it back; whether it was still ours.

        Whoever renewed it under the same identifier loses it too.

        Raises:
            AcquireTimeout: not in time; it ends by itself, and this may be called again.
            Unavailable: the store does not answer.
        """

    def release_async(self) -> Future[bool]: ...
    def __bool__(self) -> bool: ...
    def __enter__(self) -> Lease: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Partitioner:
    """A member of a partitioner. Made by a client.

    Example::

        with client.partitioner("/queues", {"mail", "print", "scan"}) as partitioner:
            for share in partitioner.shares():
                while partitioner.acquired:
                    work_a_little(share)

    An item is ours by its lock, so it ends with the session, by this host's own clock.
    """

    @property
    def path(self) -> str:
        """The path that it was made with."""

    @property
    def identifier(self) -> str:
        """How this member names itself."""

    @property
    def time_boundary(self) -> float:
        """How long the party has to be as it is before items are taken, in seconds."""

    @property
    def max_reaction_time(self) -> float:
        """As it was given, in seconds."""

    @property
    def state_change_event(self) -> Any:
        """What is set at every change of the state, if it was given."""

    @property
    def state(self) -> Literal["ALLOCATING", "ACQUIRED", "RELEASE", "FAILURE"]:
        """One of :class:`coordinator.PartitionState`."""

    @property
    def failed(self) -> bool:
        """Whether the state is FAILURE: nothing is ours, and will be. Make another one."""

    @property
    def release(self) -> bool:
        """Whether the state is RELEASE: stop the work, and call ``release_set``."""

    @property
    def allocating(self) -> bool:
        """Whether the state is ALLOCATING: ``wait_for_acquire`` waits for its end."""

    @property
    def acquired(self) -> bool:
        """Whether the state is ACQUIRED: iterating gives our items."""

    @property
    def error(self) -> BaseException | None:
        """Why it failed; None if it did not, or was finished."""

    @property
    def _number(self) -> int: ...
    def token(self, item: object) -> int | None:
        """Return the fencing token of an item that is ours; None of any other."""

    def wait_for_acquire(self, timeout: _Timeout = None) -> bool:
        """Wait until the share is ours, at most for ``timeout``, by default 30 s; whether it is.

        Ends at once where it has failed.
        """

    def wait_for_acquire_async(self, timeout: _Timeout = None) -> Future[bool]: ...
    def release_set(self) -> None:
        """Say that the work on the items has stopped.

        Those that move are given up as soon as the party has settled, and the others kept. Does
        nothing while allocating.
        """

    def release_set_async(self) -> Future[None]: ...
    def finish(self) -> None:
        """Give everything up, and leave the party: from here on nothing is ours."""

    def finish_async(self) -> Future[None]: ...
    def _changed_async(self, number: int) -> Future[None]: ...
    def shares(self) -> Shares:
        """Iterate over share after share, each a list.

        When the ``for`` loop comes round, the work on the last share is taken to have stopped.
        Ends when the member is finished.

        Raises:
            LockLost: the session was lost, and everything with it.
        """

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __bool__(self) -> bool: ...
    def __enter__(self) -> Partitioner: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Shares:
    """The shares of a partitioner, one after the other."""

    def __iter__(self) -> Shares: ...
    def __next__(self) -> list[Any]: ...

@final
class Party:
    """A party, and the client's membership in it. Made by a client.

    A member stays one until it leaves, or this object is dropped: after a lost session it joins
    again by itself.
    """

    @property
    def path(self) -> str:
        """The path that it was made with."""

    @property
    def joined(self) -> bool:
        """Whether this client is a member now."""

    @property
    def _node(self) -> str | None: ...
    def join(self) -> None:
        """Join; does nothing for a member."""

    def join_async(self) -> Future[None]: ...
    def leave(self) -> bool:
        """Leave; whether this client was a member."""

    def leave_async(self) -> Future[bool]: ...
    def members(self) -> list[str]:
        """Return the identifiers of the members, in the same order for every reader."""

    def members_async(self) -> Future[list[str]]: ...
    def __enter__(self) -> Party: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Barrier:
    """A barrier. Made by a client."""

    @property
    def path(self) -> str:
        """The path that it was made with."""

    def create(self) -> None:
        """Close it; does nothing to one that is closed."""

    def create_async(self) -> Future[None]: ...
    def remove(self) -> bool:
        """Open it for all; whether it was closed."""

    def remove_async(self) -> Future[bool]: ...
    def wait(self, timeout: _Timeout = None) -> bool:
        """Wait until it is open, at most for ``timeout``; whether it is."""

    def wait_async(self, timeout: _Timeout = None) -> Future[bool]: ...

@final
class DoubleBarrier:
    """A double barrier: all begin together, and all go on together. Made by a client."""

    @property
    def path(self) -> str:
        """The path that it was made with."""

    @property
    def _inside(self) -> bool: ...
    def enter(self, timeout: _Timeout = None) -> None:
        """Come, and wait until all have come.

        Args:
            timeout: seconds or a timedelta; None for what the barrier was made with.

        Raises:
            AcquireTimeout: the others did not come in time; we are out again.
        """

    def enter_async(self, timeout: _Timeout = None) -> Future[None]: ...
    def leave(self, timeout: _Timeout = None) -> None:
        """Be done, and wait until all are; either way we are out.

        Args:
            timeout: seconds or a timedelta; None for what the barrier was made with.

        Raises:
            AcquireTimeout: the others were not done in time.
            NotHeld: we are not in.
            LockLost: our session was lost inside.
        """

    def leave_async(self, timeout: _Timeout = None) -> Future[None]: ...
    def __enter__(self) -> DoubleBarrier: ...
    def __exit__(self, *_exception: object) -> None: ...
