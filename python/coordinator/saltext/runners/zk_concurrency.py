"""
Who holds a lock, and an operator's last word, from the master
==============================================================

The functions of these names of the execution module, for ``salt-run``: no minion has to answer.

:configuration: as that of the execution module, in the configuration of the master.
"""

from coordinator.saltext import _sessions, _settings
from coordinator.saltext._errors import ERRORS

__virtualname__ = "zk_concurrency"


def __virtual__():
    return __virtualname__


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

        salt-run zk_concurrency.status /lock/path
    """
    connection = (zk_hosts, profile, scheme, username, password, default_acl)
    return _asked(lambda pool: pool.status(), path, identifier, connection)


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
    gave it, by default the id of the master, and ``status`` shows it.

    holder
        Its identifier as ``status`` shows it, or the name of one lease
    reason
        Why

    CLI Example:

    .. code-block:: bash

        salt-run zk_concurrency.force_release /lock/path web3 'machine lost'
    """
    connection = (zk_hosts, profile, scheme, username, password, default_acl)
    return _asked(lambda pool: pool.force_release(holder, reason), path, identifier, connection)


def _asked(ask, path, identifier, connection):
    zk_hosts, profile, scheme, username, password, default_acl = connection
    try:
        settings = _settings.resolve(
            __salt__["config.get"],
            identifier or __opts__["id"],
            zk_hosts=zk_hosts,
            profile=profile,
            scheme=scheme,
            username=username,
            password=password,
            default_acl=default_acl,
        )
        return ask(_sessions.semaphore(settings, path, _sessions.Terms()))
    except ERRORS as error:
        # Salt would show an exception with its traceback.
        __context__["retcode"] = 1
        return {"error": str(error), "retcode": 1}
