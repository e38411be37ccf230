"""The recipes under kazoo's names: a program written for kazoo changes its imports.

Example::

    from coordinator.kazoo import KazooClient  # was: from kazoo.client import KazooClient

    client = KazooClient("zk1:2181,zk2:2181", timeout=10)
    client.start()
    with client.Lock("/deploy", "host-3"):
        deploy()

Everything stands in the module where kazoo has it too, so that ``coordinator.`` before ``kazoo.``
in an import is enough: ``coordinator.kazoo.client``, ``.exceptions``, ``.recipe.lock``, ``.retry``,
``.security``, ``.protocol.states``, ``.handlers.threading``. The znodes are kazoo's, byte for byte,
so programs of both kinds take turns.

Provided:

====================  ==============================================================================
recipes               ``Lock ReadLock WriteLock Semaphore Party ShallowParty Barrier DoubleBarrier
                      Election Counter NonBlockingLease MultiNonBlockingLease SetPartitioner``, as
                      ``client.X(...)`` and ``X(client, ...)``
life                  ``start start_async stop restart close connected state client_state
                      client_id``
listeners             ``add_listener remove_listener``, :class:`KazooState`
nodes                 ``create ensure_path exists get get_children set delete sync``, each with its
                      ``_async`` twin, with watches; ``transaction``; ``unchroot chroot``
other                 ``retry add_auth handler logger default_acl``, :class:`KazooRetry`, ACLs,
                      exceptions
====================  ==============================================================================

What is better:

* **A lost session is told in time.** LOST comes from this host's own clock, at 2/3 of the session
  timeout after the last answer; kazoo tells it when the servers answer again. ``is_acquired`` and
  ``participating`` are false from then on, and the object can be acquired again.
* ``lock.grant`` is this package's grant: its fencing ``token``, ``check()`` and ``lost``.
* A ``timeout`` is the time of the whole call. Nothing is left in the queue, whatever ends a wait.
* A change of a ``Counter`` is never made twice: ``ConnectionLoss`` is raised where nobody can know.
* A party is joined again after a lost session, under a new name: ``create_path`` changes by that.
* Watches live through a broken connection. They are called with ``EventType.NONE`` once, when their
  session has ended, and not at each SUSPENDED.
* A lease is true while it lasts, and no longer; asking never waits without bound. Of several
  places a member that renews keeps its own. ``lease.lease`` is this package's lease.
* A ``SetPartitioner`` keeps the items that do not move. Two members of one name are an error.
* Listeners, watches and callbacks may call the client.

What is different:

* ``release()`` of a grant that was lost returns False, and logs it.
* The chroot is made when the client starts. ``auth_data`` is checked then.
* TLS always checks the servers' certificates and host names, and needs ``ca``.
* ``extra_lock_patterns`` are plain text. ``None`` as the value of a node is no bytes.
* ``client_id`` has zeros in the place of the session's password.

Not provided, and saying so (:class:`~coordinator.kazoo.exceptions.NotProvidedError`): ``DataWatch
ChildrenWatch Queue LockingQueue``, ``get_acls set_acls`` and an ``acl`` other than the client's,
``command server_version set_hosts reconfig read_only``, handlers for gevent and eventlet,
SASL other than DIGEST-MD5, TLS that checks nothing, encrypted keys. Ignored: the argument
``client_id`` (with a warning), ``randomize_hosts``, ``connection_retry``, ``check_hostname``.
"""

from __future__ import annotations

from coordinator.kazoo.client import KazooClient
from coordinator.kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    CancelledError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    LockTimeout,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    NotProvidedError,
    SessionExpiredError,
    ZookeeperError,
)
from coordinator.kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from coordinator.kazoo.protocol.states import (
    EventType,
    KazooState,
    KeeperState,
    WatchedEvent,
    ZnodeStat,
)
from coordinator.kazoo.recipe.barrier import Barrier, DoubleBarrier
from coordinator.kazoo.recipe.counter import Counter
from coordinator.kazoo.recipe.election import Election
from coordinator.kazoo.recipe.lease import MultiNonBlockingLease, NonBlockingLease
from coordinator.kazoo.recipe.lock import Lock, ReadLock, WriteLock
from coordinator.kazoo.recipe.partitioner import PartitionState, SetPartitioner
from coordinator.kazoo.recipe.party import Party, ShallowParty
from coordinator.kazoo.recipe.semaphore import Semaphore
from coordinator.kazoo.retry import ForceRetryError, KazooRetry, RetryFailedError

__all__ = [
    "AuthFailedError",
    "BadVersionError",
    "Barrier",
    "CancelledError",
    "ConfigurationError",
    "ConnectionClosedError",
    "ConnectionLoss",
    "Counter",
    "DoubleBarrier",
    "Election",
    "EventType",
    "ForceRetryError",
    "KazooClient",
    "KazooException",
    "KazooRetry",
    "KazooState",
    "KazooTimeoutError",
    "KeeperState",
    "Lock",
    "LockTimeout",
    "MultiNonBlockingLease",
    "NoAuthError",
    "NoNodeError",
    "NodeExistsError",
    "NonBlockingLease",
    "NotEmptyError",
    "NotProvidedError",
    "PartitionState",
    "Party",
    "ReadLock",
    "RetryFailedError",
    "Semaphore",
    "SequentialThreadingHandler",
    "SessionExpiredError",
    "SetPartitioner",
    "ShallowParty",
    "WatchedEvent",
    "WriteLock",
    "ZnodeStat",
    "ZookeeperError",
]
