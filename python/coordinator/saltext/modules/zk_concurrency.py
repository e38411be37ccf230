"""
Minions take turns, over ZooKeeper
==================================

The functions of the module of this name in Salt and in ``saltext.zookeeper``, with the same nodes
in ZooKeeper, and some more to see who holds what and to take it away.

:configuration: below ``zookeeper:`` or ``zookeeper:<profile>:`` of the minion's configuration,
    pillar or grains: ``hosts``, ``scheme``, ``username``, ``password`` (also ``file:/path`` and
    ``env:NAME``), ``default_acl``, ``session_timeout`` and ``tls`` (``ca``, ``certificate``,
    ``key``). An argument comes before it. ``zk_hosts`` may also be the URL of another store, as
    ``embedded:/directory``.

An error that Salt shows says what failed and where; nothing is a success that is none.
"""

import logging

from coordinator.saltext import _sessions, _settings
from coordinator.saltext._errors import told

log = logging.getLogger(__name__)

__virtualname__ = "zk_concurrency"


def __virtual__():
    return __virtualname__


def lock(
    path,
    zk_hosts=None,
    identifier=None,
    max_concurrency=1,
    timeout=None,
    ephemeral_lease=False,
    force=False,
    profile=None,
    scheme=None,
    username=None,
    password=None,
    default_acl=None,
    max_hold=None,
    reason=None,
):
    """
    Take a lease, and wait for it if others hold all; True.

    path
        The path of the semaphore in ZooKeeper
    zk_hosts
        ``host:port,...`` with an optional path, a list of them, or the URL of a store
    identifier
        How this minion is called in the lease; its id by default
    max_concurrency
        How many minions may hold it at a time; all of them have to say the same number
    timeout
        How many seconds to wait; for ever by default, and not at all with 0
    ephemeral_lease
        Whether the lease ends with the process that took it: the job, or ``salt-call``. One that
        does not is found again by ``identifier``
    force
        Take it whether or not one is free; needs a ``reason``, which is kept
    max_hold
        After how many seconds those who wait may take the lease away

    CLI Example:

    .. code-block:: bash

        salt minion zk_concurrency.lock /lock/path host1:1234,host2:1234
    """
    with told():
        settings = _connection(
            identifier, zk_hosts, profile, scheme, username, password, default_acl
        )
        terms = _sessions.Terms(max_concurrency, ephemeral_lease, max_hold)
        if force:
            _sessions.take_by_force(settings, path, terms, reason or "")
        else:
            _sessions.take(settings, path, terms, timeout)
        return True


def unlock(
    path,
    zk_hosts=None,
    identifier=None,
    max_concurrency=1,
    ephemeral_lease=False,
    scheme=None,
    profile=None,
    username=None,
    password=None,
    default_acl=None,
):
    """
    Give the lease of this minion back; False if it has none.

    CLI Example:

    .. code-block:: bash

        salt minion zk_concurrency.unlock /lock/path host1:1234,host2:1234
    """
    with told():
        identifier = identifier or __grains__["id"]
        settings = None if zk_hosts or profile else _sessions.settings_of(path, identifier)
        settings = settings or _connection(
            identifier, zk_hosts, profile, scheme, username, password, default_acl
        )
        terms = _sessions.Terms(max_concurrency, ephemeral_lease)
        if _sessions.give_back(settings, path, terms):
            return True
        log.warning("%s holds no lease of %s on %s", settings.identifier, path, settings.hosts)
        return False


def lock_holders(
    path,
    zk_hosts=None,
    identifier=None,
    max_concurrency=1,
    timeout=None,
    ephemeral_lease=False,
    profile=None,
    scheme=None,
    username=None,
    password=None,
    default_acl=None,
):
    """
    Return the identifiers of those who hold a lease, in no order.

    CLI Example:

    .. code-block:: bash

        salt minion zk_concurrency.lock_holders /lock/path host1:1234,host2:1234
    """
    holders = _status(path, identifier, zk_hosts, profile, scheme, username, password, default_acl)
    return [holder["identifier"] for holder in holders["holders"]]


def status(
    path,
    zk_hosts=None,
    identifier=None,
    profile=None,
    scheme=None,
    username=None,
    password=None,
    default_acl=None,
):
    """
    Return who holds the leases and since when, who waits, and what was done by force.

    CLI Example:

    .. code-block:: bash

        salt minion zk_concurrency.status /lock/path host1:1234,host2:1234
    """
    return _status(path, identifier, zk_hosts, profile, scheme, username, password, default_acl)


def force_release(
    path,
    holder,
    reason,
    zk_hosts=None,
    identifier=None,
    profile=None,
    scheme=None,
    username=None,
    password=None,
    default_acl=None,
):
    """
    Take away the leases of a holder that is gone for good, and wake the next in line.

    The holder is not asked: make sure that it does nothing any more. The reason is kept, with who
    gave it, and ``status`` shows it.

    holder
        Its identifier as ``status`` shows it, or the name of one lease
    reason
        Why

    CLI Example:

    .. code-block:: bash

        salt minion zk_concurrency.force_release /lock/path web3 'machine lost' host1:1234
    """
    with told():
        settings = _connection(
            identifier, zk_hosts, profile, scheme, username, password, default_acl
        )
        pool = _sessions.semaphore(settings, path, _sessions.Terms())
        return pool.force_release(holder, reason)


def party_members(
    path,
    zk_hosts=None,
    min_nodes=1,
    blocking=False,
    profile=None,
    scheme=None,
    username=None,
    password=None,
    default_acl=None,
    timeout=300,
):
    """
    Return the identifiers of a party's members; with ``blocking``, wait for ``min_nodes`` of them.

    Waiting only reads. After ``timeout`` seconds it ends with those who are there.

    CLI Example:

    .. code-block:: bash

        salt minion zk_concurrency.party_members /party/path host1:1234 min_nodes=3 blocking=True
    """
    with told():
        settings = _connection(None, zk_hosts, profile, scheme, username, password, default_acl)
        wait = timeout if blocking else 0
        return _sessions.members(settings, path, int(min_nodes), wait)


def _status(path, identifier, *connection):
    with told():
        settings = _connection(identifier, *connection)
        return _sessions.semaphore(settings, path, _sessions.Terms()).status()


def _connection(identifier, zk_hosts, profile, scheme, username, password, default_acl):
    return _settings.resolve(
        __salt__["config.get"],
        identifier or __grains__["id"],
        zk_hosts=zk_hosts,
        profile=profile,
        scheme=scheme,
        username=username,
        password=password,
        default_acl=default_acl,
    )
