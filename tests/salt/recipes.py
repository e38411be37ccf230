"""States that tests apply: those of the README as they stand there, and the old form."""

from __future__ import annotations

import re
from pathlib import Path

from salt_minion import PROJECT, Minion

PATH = "/trafficserver"
FILE = "/etc/trafficserver/records.config"
_SECTION = re.search(r"^## In Salt\n(.*?)^## ", (PROJECT / "README.md").read_text(), re.M | re.S)
assert _SECTION is not None
# What a user pastes: the configuration file and three states.
CONFIGURATION, RUN, PAIR, PARTY = re.findall(r"^```yaml\n(.*?)^```", _SECTION[1], re.M | re.S)


def configuration(hosts: str, password: Path) -> str:
    """The README's configuration file, with servers and a file that are there."""
    servers, path = hosts.split("/", 1)
    three = f"{servers},{servers},{servers}/{path}"
    text = _replaced(CONFIGURATION, "zk1:2181,zk2:2181,zk3:2181", three)
    return _replaced(text, "/etc/salt/zookeeper.password", str(password))


def documented(minion: Minion, records: str = "first", more: str = "") -> str:
    """The README's pair around a file and a service; `more` for the lock."""
    return _in_place(PAIR, minion, records, more)


def wrapped(minion: Minion, records: str = "first", more: str = "") -> str:
    """The README's state that has all in one."""
    return _in_place(RUN, minion, records, more)


def _in_place(text: str, minion: Minion, records: str, more: str) -> str:
    """With a file that a test may write; what `more` says comes in place of the timeout."""
    target = minion.write("records.config", records).with_name("etc-records.config")
    text = _replaced(text, FILE, str(target))
    return _replaced(text, "- timeout: 900", more) if more else text


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"the README has no {old}"
    return text.replace(old, new)


def lasting(minion: Minion, lock: str = PATH, more: str = "") -> str:
    """The README's pair with a lease that outlives a run, under a path that may be misspelt."""
    text = documented(minion, more=more).replace(PATH, lock, 1)
    return _replaced(text, "ephemeral_lease: True", "ephemeral_lease: False")


def old_form(minion: Minion, records: str = "first") -> str:
    """The form of the old module's documentation, its typo mended."""
    target = minion.write("records.config", records).with_name("etc-records.config")
    return f"""
acquire_lock:
  zk_concurrency.lock:
    - name: {PATH}
    - zk_hosts: {minion.hosts}
    - max_concurrency: 4
    - prereq:
      - service: trafficserver

trafficserver:
  service.running:
    - watch:
      - file: {target}

{target}:
  file.managed:
    - source: salt://records.config

release_lock:
  zk_concurrency.unlock:
    - name: {PATH}
    - require:
      - service: trafficserver
"""


def single(function: str, label: str = "it", /, **arguments: object) -> str:
    """One state, under this id."""
    lines = "".join(f"    - {name}: {value}\n" for name, value in arguments.items())
    return f"{label}:\n  zk_concurrency.{function}:\n{lines}"
