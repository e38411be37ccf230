"""The client, by kazoo's name: one session for all recipes and nodes."""

from __future__ import annotations

import inspect
import logging
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

from coordinator import _core
from coordinator.exceptions import Invalid, Unavailable
from coordinator.kazoo.arguments import refuse, sasl, servers
from coordinator.kazoo.exceptions import (
    AuthFailedError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionLoss,
    NotProvidedError,
)
from coordinator.kazoo.handlers.threading import AsyncResult, SequentialThreadingHandler
from coordinator.kazoo.nodes import NodeCalls
from coordinator.kazoo.protocol.states import KazooState, KeeperState
from coordinator.kazoo.recipe.barrier import Barrier, DoubleBarrier
from coordinator.kazoo.recipe.counter import Counter
from coordinator.kazoo.recipe.election import Election
from coordinator.kazoo.recipe.lease import MultiNonBlockingLease, NonBlockingLease
from coordinator.kazoo.recipe.lock import Lock, ReadLock, WriteLock
from coordinator.kazoo.recipe.partitioner import SetPartitioner
from coordinator.kazoo.recipe.party import Party, ShallowParty
from coordinator.kazoo.recipe.semaphore import Semaphore
from coordinator.kazoo.retry import KazooRetry
from coordinator.kazoo.security import ACL, OPEN_ACL_UNSAFE, written
from coordinator.kazoo.session import Session
from coordinator.kazoo.transaction import TransactionRequest

_T = TypeVar("_T")
Listener = Callable[[str], object]
log = logging.getLogger(__name__)

_RETRIES = {
    "max_retries": "max_tries",
    "retry_delay": "delay",
    "retry_backoff": "backoff",
    "retry_max_delay": "max_delay",
}
_NOT_PROVIDED = {
    "ChildrenWatch": "give get_children a watch, and ask again when it is called",
    "DataWatch": "give get or exists a watch, and ask again when it is called",
    "Queue": "queues are not part of this package",
    "LockingQueue": "queues are not part of this package",
    "command": "ask the server with `echo srvr | nc host port`",
    "server_version": "ask the server with `echo srvr | nc host port`",
    "get_acls": "ask with `getAcl` of zkCli.sh",
    "get_acls_async": "ask with `getAcl` of zkCli.sh",
    "set_acls": "change them with `setAcl` of zkCli.sh",
    "set_acls_async": "change them with `setAcl` of zkCli.sh",
    "set_hosts": "make another client",
    "reconfig": "use `reconfig` of zkCli.sh",
    "reconfig_async": "use `reconfig` of zkCli.sh",
}


class KazooClient(NodeCalls):
    """A member of recipes under kazoo's names. The arguments are kazoo's, in seconds.

    Args:
        hosts: ``host:port,host:port/chroot``, or a list of them. The chroot is made if missing.
        timeout: The session timeout.
        client_id: Ignored, with a warning: a session is never taken over.
        handler: A :class:`SequentialThreadingHandler`, or None.
        default_acl: What the nodes are made with, exactly; anyone may do all without it.
        auth_data: Who we are: pairs of a scheme and its credential.
        sasl_options: For DIGEST-MD5: ``mechanism``, ``username``, ``password``.
        read_only: Not provided.
        randomize_hosts: Ignored: servers are always tried in a random order.
        connection_retry: Ignored: a connection that breaks is sought again until ``stop``.
        command_retry: What :attr:`retry` does: a :class:`KazooRetry`, or its arguments.
        logger: Where listeners that fail, and grants that were lost, are logged.
        keyfile: The key of our certificate; PEM, not encrypted.
        keyfile_password: Not provided.
        certfile: Our certificate, for servers that check their clients.
        ca: What the servers' certificates are checked against; needed for TLS.
        use_ssl: Whether connections are encrypted.
        verify_certs: False is not provided: certificates are always checked.
        check_hostname: Ignored: host names are always checked.
        **retries: kazoo's older names for the arguments of ``command_retry``.
    """

    def __init__(
        self,
        hosts: str | list[str] = "127.0.0.1:2181",
        timeout: float = 10.0,
        client_id: object = None,
        handler: SequentialThreadingHandler | None = None,
        default_acl: Sequence[ACL] | None = None,
        auth_data: Sequence[tuple[str, str]] | None = None,
        sasl_options: dict[str, Any] | None = None,
        read_only: bool | None = None,
        randomize_hosts: bool = True,
        connection_retry: KazooRetry | dict[str, Any] | None = None,
        command_retry: KazooRetry | dict[str, Any] | None = None,
        logger: logging.Logger | None = None,
        keyfile: str | None = None,
        keyfile_password: str | None = None,
        certfile: str | None = None,
        ca: str | None = None,
        use_ssl: bool = False,
        verify_certs: bool = True,
        check_hostname: bool = False,
        **retries: Any,
    ) -> None:
        if inspect.isclass(handler):
            raise ConfigurationError(f"handler is an instance of a class, not the class {handler}")
        if handler is not None and not isinstance(handler, SequentialThreadingHandler):
            raise NotProvidedError(
                f"handler {handler!r}: threads only; asyncio has coordinator.aio"
            )
        refuse("read_only", read_only, "leave it out: each request wants a server that can write")
        refuse("verify_certs=False", not verify_certs, "give the CA of the servers as ca")
        refuse("keyfile_password", keyfile_password, "give a key file that is not encrypted")
        if client_id is not None:
            message = "client_id is ignored: a session is never taken over by another client"
            warnings.warn(message, stacklevel=2)
        if use_ssl and ca is None:
            raise ConfigurationError(
                "use_ssl needs ca: the CA that signed the servers' certificates"
            )
        self.logger = logger or log
        self.handler = handler or SequentialThreadingHandler()
        self._default_acl = default_acl
        self.hosts, self.chroot = servers(hosts)
        self._tls = (ca, (certfile, keyfile) if certfile and keyfile else None) if use_ssl else None
        self.auth_data = {(scheme, credential) for scheme, credential in auth_data or ()}
        self._sasl = sasl(sasl_options)
        self._timeout = timeout
        self._retry = self._command_retry(command_retry, retries)
        self.state_listeners: set[Listener] = set()
        self._told: str = KazooState.LOST
        self._live = threading.Event()
        self._lifecycle = threading.RLock()
        self._session: Session | None = None
        self._name_recipes()

    def _name_recipes(self) -> None:
        self.Barrier = partial(Barrier, self)
        self.Counter = partial(Counter, self)
        self.DoubleBarrier = partial(DoubleBarrier, self)
        self.Election = partial(Election, self)
        self.Lock = partial(Lock, self)
        self.MultiNonBlockingLease = partial(MultiNonBlockingLease, self)
        self.NonBlockingLease = partial(NonBlockingLease, self)
        self.Party = partial(Party, self)
        self.ReadLock = partial(ReadLock, self)
        self.Semaphore = partial(Semaphore, self)
        self.SetPartitioner = partial(SetPartitioner, self)
        self.ShallowParty = partial(ShallowParty, self)
        self.WriteLock = partial(WriteLock, self)

    def _command_retry(
        self, retry: KazooRetry | dict[str, Any] | None, older: dict[str, Any]
    ) -> KazooRetry:
        unknown = older.keys() - _RETRIES.keys()
        if unknown:
            raise TypeError(f"unexpected arguments: {', '.join(sorted(unknown))}")
        for name in older:
            message = f"{name} is deprecated: give a KazooRetry as command_retry"
            warnings.warn(message, DeprecationWarning, stacklevel=3)
        if isinstance(retry, KazooRetry):
            return retry
        arguments: dict[str, Any] = {"max_tries": -1, "max_delay": 3600.0}
        arguments |= {_RETRIES[name]: value for name, value in older.items()}
        return KazooRetry(**(arguments if retry is None else retry))

    # -- its life ---------------------------------------------------------------------------------

    def start(self, timeout: float | None = 15) -> None:
        """Open a session; does nothing if it is started and connected.

        Raises:
            KazooTimeoutError: the store did not answer within ``timeout`` seconds.
            coordinator.Invalid: the store refuses who we are, or an argument is wrong.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._lifecycle:
            if self._session is None:
                self._open_session(1e9 if timeout is None else timeout)
        if not self._live.wait(None if end is None else max(0.0, end - time.monotonic())):
            self.stop()
            raise self.handler.timeout_exception("Connection time-out")

    def start_async(self) -> threading.Event:
        """Begin :meth:`start`; the event is set while the client is connected."""
        self.handler.spawn(self._start_patiently)
        return self._live

    def _start_patiently(self) -> None:
        while self._session is None:
            try:
                self.start(self._timeout)
            except self.handler.timeout_exception:
                self.logger.warning("no connection to %s yet", self.hosts)
            except Invalid:
                self.logger.exception("no connection to %s", self.hosts)
                return

    def _open_session(self, timeout: float) -> None:
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        credentials = [*sorted(self.auth_data), *self._sasl]
        ca, identity = self._tls or (None, None)
        try:
            core = _core.kazoo_connect(
                f"zookeeper://{hosts}{self.chroot}",
                self._timeout,
                timeout,
                credentials,
                written(self._acl()),
                ca,
                identity,
            )
        except Unavailable as error:
            raise self.handler.timeout_exception(f"Connection time-out: {error}") from error
        self.handler.start()
        self._session = Session(core, self.handler, self._tell)
        self._session.begin()

    def stop(self) -> None:
        """End the session: what it held is given back, and listeners are told LOST."""
        with self._lifecycle:
            session, self._session = self._session, None
        if session is not None:
            session.close()
            self._tell(KazooState.LOST)
            self.handler.stop()

    def restart(self) -> None:
        """Stop and start: a new session."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, if that was not done."""
        self.stop()

    @property
    def started(self) -> bool:
        """Whether it was started and not stopped. kazoo has no such property."""
        return self._session is not None

    @property
    def connected(self) -> bool:
        """Whether the store answers."""
        session = self._session
        return session is not None and session.core.state == "connected"

    @property
    def state(self) -> str:
        """One of :class:`KazooState`, by this host's own clock: never later than a listener."""
        session = self._session
        return KazooState.LOST if session is None else session.core.state.upper()

    @property
    def client_state(self) -> str:
        """The same as one of :class:`KeeperState`."""
        if self._session is None:
            return KeeperState.CLOSED
        states = {
            KazooState.CONNECTED: KeeperState.CONNECTED,
            KazooState.LOST: KeeperState.EXPIRED_SESSION,
        }
        return states.get(self.state, KeeperState.CONNECTING)

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """The number of the session, which its ephemeral nodes name as their owner.

        In the place of the password stand zeros: nobody takes a session over.
        """
        session = self._session
        number = None if session is None else _core.session_id(session.core)
        return None if number is None else (number, bytes(16))

    @property
    def default_acl(self) -> Sequence[ACL] | None:
        """What nodes are made with. It can be set while the client is stopped."""
        return self._default_acl

    @default_acl.setter
    def default_acl(self, acl: Sequence[ACL] | None) -> None:
        if self.started and list(acl or OPEN_ACL_UNSAFE) != self._acl():
            raise NotProvidedError(
                "default_acl: another list for a client that is started: give it to the client, or "
                "set it before start"
            )
        self._default_acl = acl

    # -- listeners --------------------------------------------------------------------------------

    def add_listener(self, listener: Listener) -> None:
        """Have a function told each new state; it is told no more once it returns True.

        It is called in a thread that tells states and does nothing else. It may call this client.
        """
        if not callable(listener):
            raise ConfigurationError("a listener is a function")
        self.state_listeners.add(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Tell a function no more."""
        self.state_listeners.discard(listener)

    def _tell(self, state: str) -> None:
        if state == self._told:
            return
        self._told = state
        if state == KazooState.CONNECTED:
            self._live.set()
        else:
            self._live.clear()
        for listener in list(self.state_listeners):
            try:
                if listener(state) is True:
                    self.remove_listener(listener)
            except Exception:
                self.logger.exception("a listener failed when it was told %s", state)

    # -- the rest ---------------------------------------------------------------------------------

    def retry(self, func: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Call a function again while the connection fails it; see :class:`KazooRetry`."""
        return self._retry.copy()(func, *args, **kwargs)

    def transaction(self) -> TransactionRequest:
        """Begin changes that are made together, or not at all."""
        return TransactionRequest(self)

    def add_auth(self, scheme: str, credential: str) -> bool:
        """Prove who we are by one more scheme, now and in each later session.

        Raises:
            AuthFailedError: the servers do not believe it; the session is lost by that.
        """
        if not isinstance(scheme, str) or not isinstance(credential, str):
            raise TypeError("a scheme and its credential are strings")
        if self._session is not None:
            try:
                _core.authenticate(self._session.core, scheme, credential)
            except Invalid as error:
                raise AuthFailedError(str(error)) from error
            except Unavailable as error:
                raise ConnectionLoss(str(error)) from error
        self.auth_data.add((scheme, credential))
        return True

    def add_auth_async(self, scheme: str, credential: str) -> AsyncResult:
        """Begin :meth:`add_auth`."""
        result = self.handler.async_result()

        def prove() -> None:
            try:
                result.set(self.add_auth(scheme, credential))
            except Exception as error:
                result.set_exception(error)

        self.handler.spawn(prove)
        return result

    def unchroot(self, path: str) -> str:
        """Return a path without the chroot, if it begins with it."""
        if not self.chroot or not f"{path}/".startswith(f"{self.chroot}/"):
            return path
        return path[len(self.chroot) :] or "/"

    def _open(self) -> Session:
        session = self._session
        if session is None:
            raise ConnectionClosedError("the client is not started, or was stopped: start it")
        return session

    def _acl(self) -> list[ACL]:
        return list(self._default_acl or OPEN_ACL_UNSAFE)

    def __getattr__(self, name: str) -> NoReturn:
        if name in _NOT_PROVIDED:
            raise NotProvidedError(f"{name} is not provided: {_NOT_PROVIDED[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
