"""
Minions take turns, over ZooKeeper
==================================

No more than ``max_concurrency`` minions do something at a time, whoever started the jobs. See the
execution module of this name for the configuration.

Take turns at restarting a service when its configuration changes:

.. code-block:: yaml

    acquire_lock:
      zk_concurrency.lock:
        - name: /trafficserver
        - zk_hosts: 'zookeeper:2181'
        - max_concurrency: 4
        - timeout: 900
        - ephemeral_lease: True
        - prereq:
            - file: /etc/trafficserver/records.config

    /etc/trafficserver/records.config:
      file.managed:
        - source: salt://records.config

    trafficserver:
      service.running:
        - watch:
            - file: /etc/trafficserver/records.config

    release_lock:
      zk_concurrency.unlock:
        - name: /trafficserver
        - onchanges:
            - zk_concurrency: acquire_lock

The lock is taken only if the file would change. If it cannot be had, the file stays as it is, so
that the next run tries again. It is given back after the restart, also after one that failed, for
``release_lock`` comes last and asks only whether the lock was taken. A job that is killed gives
it back too: ``ephemeral_lease`` ties it to the process.

.. warning::

    Do not put the ``prereq`` on the service. On Salt 3008 and later a service that only watches
    never reports to it that it would restart, so the lock is not taken. ``unlock`` fails then,
    and says so.

The same in one state, which cannot be put together wrongly, and which always gives the lock back:

.. code-block:: yaml

    trafficserver_in_turn:
      zk_concurrency.run:
        - name: /trafficserver
        - zk_hosts: 'zookeeper:2181'
        - max_concurrency: 4
        - timeout: 900
        - states:
            /etc/trafficserver/records.config:
              file.managed:
                - source: salt://records.config
            trafficserver:
              service.running:
                - watch:
                    - file: /etc/trafficserver/records.config
"""

from coordinator.saltext import _around, _nested, _predictions, _sessions, _settings, _turns
from coordinator.saltext._errors import ERRORS

__virtualname__ = "zk_concurrency"


def __virtual__():
    return __virtualname__


def lock(
    name,
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
    max_hold=None,
    force=False,
    reason=None,
):
    """
    Take a lease, and wait for it if others hold all

    name
        The path of the semaphore in ZooKeeper
    zk_hosts
        ``host:port,...``, a list of them, or the URL of a store
    identifier
        How this minion is called in the lease; its id by default
    max_concurrency
        How many minions may hold it at a time; all of them have to say the same number
    timeout
        How many seconds to wait, after which the state fails; for ever by default
    ephemeral_lease
        Whether the lease ends with the process of this job (of the minion, where that has
        ``multiprocessing: False``). One that does not is found again by ``identifier``, by this job
        or another
    max_hold
        After how many seconds those who wait may take the lease away
    force
        Take it whether or not one is free; needs a ``reason``, which is kept
    """
    ret = {"name": name, "changes": {}, "result": False, "comment": ""}
    terms = _sessions.Terms(max_concurrency, ephemeral_lease, max_hold)
    try:
        settings = _connection(
            identifier, zk_hosts, profile, scheme, username, password, default_acl
        )
        if __opts__["test"]:
            run = _around.Run(__lowstate__, __running__)
            predicted = _predictions.of_taking(
                settings, name, terms, run, timeout=timeout, force=force, reason=reason
            )
            return {**ret, **predicted}
        if force:
            took = _sessions.take_by_force(settings, name, terms, reason or "")
        else:
            took = _sessions.take(settings, name, terms, timeout)
    except ERRORS as error:
        return {**ret, "comment": f"Unable to acquire lock {name}: {error}"}
    comment = f"lock acquired: {settings.identifier} holds a lease of {name}"
    if took.had_it:
        comment = (
            f"lock acquired: {settings.identifier} held a lease of {name} already, and keeps it"
        )
    return {
        **ret,
        "result": True,
        "comment": comment,
        "changes": _turns.taken(settings, name, had_it=took.had_it),
    }


def unlock(
    name,
    zk_hosts=None,
    identifier=None,
    max_concurrency=1,
    ephemeral_lease=False,
    profile=None,
    scheme=None,
    username=None,
    password=None,
    default_acl=None,
):
    """
    Give the lease back

    It fails if this minion holds none, unless a ``lock`` state of this run stands for the same path
    and found nothing to do. Without ``zk_hosts`` and ``profile`` it uses what that state uses.
    """
    ret = {"name": name, "changes": {}, "result": False, "comment": ""}
    connection = (zk_hosts, profile, scheme, username, password, default_acl)
    run = _around.Run(__lowstate__, __running__)
    terms = _sessions.Terms(max_concurrency, ephemeral_lease)
    try:
        settings = _as_taken(name, identifier, connection, run)
        if __opts__["test"]:
            return {**ret, **_predictions.of_giving_back(settings, name, terms, run)}
        if not _sessions.give_back(settings, name, terms):
            result, comment = run.judge_missing(settings, name, test=False)
            return {**ret, "result": result, "comment": comment}
    except ERRORS as error:
        return {**ret, "comment": f"Unable to release lock {name}: {error}"}
    return {
        **ret,
        "result": True,
        "changes": _turns.released(settings, name),
        "comment": f"lock {name} released",
    }


def run(
    name,
    states=None,
    sls=None,
    command=None,
    zk_hosts=None,
    identifier=None,
    max_concurrency=1,
    timeout=None,
    ephemeral_lease=True,
    profile=None,
    scheme=None,
    username=None,
    password=None,
    default_acl=None,
    max_hold=None,
    saltenv=None,
):
    """
    Take a lease, run states or a command, and give the lease back whatever becomes of them

    States run first in test mode, and the lease is taken only if they would change something.
    They know nothing of the states around them: what they require has to be among them.

    The lease of a job that is killed ends with its session, also where a command that the job had
    started goes on.

    states
        States as in an SLS file: by id, each with its function and arguments
    sls
        Names of SLS files to apply
    command
        A command for the shell; it fails the state unless it ends with 0
    timeout
        How many seconds to wait for the lease; the other arguments are those of ``lock``
    saltenv
        The environment of the states; by default that of the SLS file
    """
    ret = {"name": name, "changes": {}, "result": False, "comment": ""}
    try:
        work = _nested.Work(
            __salt__, run, states=states, sls=sls, command=command, saltenv=saltenv or __env__
        )
        settings = _connection(
            identifier, zk_hosts, profile, scheme, username, password, default_acl
        )
        terms = _sessions.Terms(max_concurrency, ephemeral_lease, max_hold)
        planned = work.plan()
        if planned is not None and not planned.changes and planned.result is True:
            return {
                **ret,
                "result": True,
                "comment": f"{planned.comment}: lock {name} is not needed",
            }
        if __opts__["test"] and planned is not None and planned.result is False:
            return {**ret, "comment": planned.comment}
        if __opts__["test"]:
            around = _around.Run(__lowstate__, __running__)
            predicted = _predictions.of_taking(settings, name, terms, around, timeout=timeout)
            # The lease of a state around this one is that one's to tell of.
            changes = {} if around.would_hold(name) else predicted["changes"]
            if predicted["result"] is None and planned is not None:
                changes |= planned.changes
            return {**ret, **predicted, "changes": changes}
        return {**ret, **_turns.in_turn(settings, name, terms, timeout, work)}
    except ERRORS as error:
        return {**ret, "comment": f"Unable to run under lock {name}: {error}"}


def min_party(
    name,
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
    Ensure that the party at ``name`` has ``min_nodes`` members; with ``blocking``, wait for them

    Waiting takes no part in the party, leaves nothing behind, and ends after ``timeout`` seconds.
    """
    ret = {"name": name, "changes": {}, "result": False, "comment": ""}
    wait = timeout if blocking and not __opts__["test"] else 0
    try:
        settings = _connection(None, zk_hosts, profile, scheme, username, password, default_acl)
        nodes = len(_sessions.members(settings, name, int(min_nodes), wait))
    except ERRORS as error:
        return {**ret, "comment": f"Unable to read the party {name}: {error}"}
    if nodes >= int(min_nodes):
        return {
            **ret,
            "result": True,
            "comment": f"Currently {nodes} nodes, which is >= {min_nodes}",
        }
    comment = f"Currently {nodes} nodes, which is < {min_nodes}"
    if blocking and __opts__["test"]:
        return {
            **ret,
            "result": None,
            "comment": f"{comment}: would wait up to {timeout} s for more",
        }
    if blocking:
        comment = f"{comment}, after {timeout} s"
    return {**ret, "comment": comment}


def _as_taken(name, identifier, connection, run):
    """With which settings the lease was taken: by this process, or a state of this run."""
    identifier = identifier or run.identifier_of_lock(name) or __grains__["id"]
    zk_hosts, profile, *_ = connection
    if not zk_hosts and not profile:
        taken = _sessions.settings_of(name, identifier)
        if taken is not None:
            return taken
        connection = run.connection_of_lock(name) or connection
    return _connection(identifier, *connection)


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
