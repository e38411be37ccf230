"""Where a charm coordinates: its layer's options, its configuration, and a ZooKeeper charm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.juju import Backend, settings
from rolling import our_charm
from simulated_juju import Application, FunctionCharm, Hook, Model

PLANTED = "planted-password"
PEM = "-----BEGIN CERTIFICATE-----\nplanted\n-----END CERTIFICATE-----\n"


def made(
    directory: Path, config: dict[str, Any] | None = None, /, **options: Any
) -> Backend | None:
    """What a layer's options and a charm's configuration come to."""
    return settings.backend(settings.chosen(options, config or {}), directory, "own")


def test_the_configuration_overrides_the_layer_and_an_empty_option_does_not(tmp_path: Path) -> None:
    assert made(tmp_path) is None
    layer = {"backend": "zookeeper", "hosts": "zk1:2181", "scope": "racks"}
    backend = made(tmp_path, **layer)
    assert backend == Backend("zookeeper://zk1:2181", "racks")
    assert made(tmp_path, {"coordinator-hosts": "", "coordinator-scope": None}, **layer) == backend
    config = {
        "coordinator-hosts": "zk2:2181, zk3:2181/fleet",
        "coordinator-scope": "all",
        "coordinator-default-acl": "world:anyone:r sasl:ops:cdrwa",
        "coordinator-session-timeout": 20,
        "coordinator-auth": "sasl:deployer:file:/etc/zookeeper.password",
        "coordinator-tls-ca": "/etc/ca.pem",
        "unlike": "coordinator",
    }
    backend = made(tmp_path, config, **layer)
    assert backend is not None
    assert backend.tls is not None
    assert (backend.tls.ca, backend.tls.identity) == ("/etc/ca.pem", None)
    assert replace(backend, tls=None) == Backend(
        "zookeeper://zk2:2181,zk3:2181/fleet",
        "all",
        auth="sasl:deployer:file:/etc/zookeeper.password",
        default_acl=("world:anyone:r", "sasl:ops:cdrwa"),
        session_timeout=20.0,
    )
    # The layer's list is a list.
    assert made(tmp_path, **layer, default_acl=["world:anyone:r"]) == Backend(
        "zookeeper://zk1:2181", "racks", default_acl=("world:anyone:r",)
    )


def test_settings_to_come_back_by_are_kept_while_the_peer_relation_is_wanted(
    tmp_path: Path,
) -> None:
    config = {"coordinator-backend": "peer"}
    layer = {"backend": "zookeeper", "hosts": "zk1:2181"}
    assert made(tmp_path, config, **layer) == Backend(
        "zookeeper://zk1:2181", "own", is_wanted=False
    )
    layer = {"backend": "embedded", "directory": "/var/lib/coordinator"}
    backend = Backend("embedded:/var/lib/coordinator", "own")
    assert made(tmp_path, **layer) == backend
    assert made(tmp_path, config, **layer) == replace(backend, is_wanted=False)


ZOOKEEPER = {"backend": "zookeeper", "hosts": "zk1:2181"}


@pytest.mark.parametrize(
    ("options", "named", "advice"),
    [
        ({"backend": "zookeper"}, "backend is 'zookeper'", "peer, zookeeper, embedded"),
        ({"backend": "embedded"}, "directory", "absolute path"),
        ({"backend": "embedded", "directory": "var"}, "directory", "absolute path"),
        ({"backend": "zookeeper"}, "hosts", "zk1:2181,zk2:2181/fleet"),
        ({**ZOOKEEPER, "hosts": "zookeeper://zk1"}, "hosts", "zk1:2181,zk2:2181/fleet"),
        ({**ZOOKEEPER, "session_timeout": "soon"}, "session_timeout is 'soon'", "number"),
        ({**ZOOKEEPER, "session_timeout": -1}, "session_timeout is -1", "number"),
        ({**ZOOKEEPER, "session_timeout": "nan"}, "session_timeout is 'nan'", "number"),
        ({**ZOOKEEPER, "session_timeout": 1e9}, "session_timeout", "number"),
        ({**ZOOKEEPER, "auth": PLANTED}, "auth", "sasl:USER:file:/path"),
        ({**ZOOKEEPER, "auth": f"basic:user:{PLANTED}"}, "auth", "Juju secret"),
        ({**ZOOKEEPER, "auth": "sasl:user"}, "auth", "sasl:USER:file:/path"),
        ({**ZOOKEEPER, "tls_key": "/k", "tls_certificate": "/c"}, "tls_ca", "certificates"),
        ({**ZOOKEEPER, "tls_ca": "/ca", "tls_key": "/k"}, "tls_certificate", "set both"),
    ],
)
def test_a_wrong_option_is_named_and_what_to_write(
    tmp_path: Path, options: dict[str, Any], named: str, advice: str
) -> None:
    backend = made(tmp_path, **options)
    assert backend is not None
    assert backend.is_wanted, "the application must not go on over its peer relation"
    assert backend.missing is not None
    assert named in backend.missing
    assert advice in backend.missing
    assert PLANTED not in f"{backend.missing} {backend!r}"


def test_secrets_in_options_are_kept_in_files_that_only_root_reads(tmp_path: Path) -> None:
    directory = tmp_path / "unit" / "coordinator"
    options = {**ZOOKEEPER, "auth": f"sasl:deployer:{PLANTED}"}
    options |= {"tls_ca": PEM, "tls_certificate": PEM, "tls_key": PEM}
    for _ in range(2):
        backend = made(directory, **options)
        assert backend is not None
        assert backend.auth == f"sasl:deployer:file:{directory}/password"
        assert backend.tls is not None
        assert backend.tls.identity is not None
    files = {path.name: path.read_text() for path in directory.iterdir()}
    assert files == {"password": PLANTED, "ca.pem": PEM, "certificate.pem": PEM, "key.pem": PEM}
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert PLANTED not in repr(backend)


class Related:
    """A charm that is related to a ZooKeeper charm, and what each of its units has found."""

    def __init__(self, version: str = "3.6.0", **config: Any) -> None:
        self.model = Model(seed=3, version=version)
        self.found: dict[str, Backend | None] = {}
        self.hooks: list[str] = []
        self.published: dict[str, dict[str, str]] = {}
        """What units of the ZooKeeper charm publish, and, as leader, for the application."""
        # Relations have numbers from 9 on.
        others = {f"peers{number}": "others" for number in range(9)}
        self.model.deploy("others", FunctionCharm(self._unit), units=0, peers=others)
        charm = replace(our_charm(), function=self._unit)
        config = {"backend": "zookeeper", "relation": "zookeeper", **config}
        self.config = {f"coordinator-{name}": value for name, value in config.items()}
        self.app: Application = self.model.deploy("app", charm, units=2, config=self.config)

    def relate(self, name: str = "zookeeper") -> str:
        server = FunctionCharm(self._server)
        self.model.deploy(name, server, units=2, config={"generation": 0})
        return self.model.relate(("app", "zookeeper"), (name, "client"))

    def publish(self, name: str = "zookeeper", **published: dict[str, str]) -> None:
        """Let units, and the application `app`, of a ZooKeeper charm publish something else."""
        self.published |= {
            f"{name}/{key[1:]}" if key != "app" else name: value for key, value in published.items()
        }
        record = self.model.world.controller.applications[name].config
        self.model.applications[name].configure(generation=record["generation"] + 1)
        self.model.settle()

    @property
    def backend(self) -> Backend:
        """What all units have found in their last hooks."""
        one, other = self.found["app/0"], self.found["app/1"]
        assert one is not None
        assert other is not None
        assert (one.url, one.missing) == (other.url, other.missing)
        return one

    def directory(self, unit: str) -> Path:
        return self.model.unit(unit).agent.charm_dir.parent / "coordinator"

    def asked(self) -> dict[str, str]:
        """What the application asks of the ZooKeeper charm."""
        (relation,) = self.model.world.controller.relations_of("app")
        return relation.applications["app"].settings

    def all_databags(self) -> str:
        relations = self.model.world.controller.relations.values()
        return json.dumps(
            [
                [
                    bag.settings
                    for bag in (*relation.units.values(), *relation.applications.values())
                ]
                for relation in relations
            ]
        )

    def _unit(self, hook: Hook) -> None:
        config = json.loads(hook.tool(["config-get", "--format=json"]).stdout)
        chosen = settings.chosen({}, config)
        self.found[hook.unit] = settings.backend(chosen, self.directory(hook.unit), "own")
        self.hooks.append(hook.name)
        if json.loads(hook.tool(["is-leader", "--format=json"]).stdout):
            settings.ask_related("zookeeper", "/coordinator")

    def _server(self, hook: Hook) -> None:
        application = hook.unit.partition("/")[0]
        relations = json.loads(hook.tool(["relation-ids", "client", "--format=json"]).stdout)
        leads = json.loads(hook.tool(["is-leader", "--format=json"]).stdout)
        for relation in relations:
            for who, words in ((hook.unit, []), (application, ["--app"] if leads else None)):
                values = self.published.get(who)
                if values and words is not None:
                    pairs = [f"{key}={value}" for key, value in values.items()]
                    done = hook.tool(["relation-set", "-r", relation, *words, *pairs])
                    assert done.code == 0, done.stderr


Make = Callable[..., Related]


@pytest.fixture
def related() -> Iterator[Make]:
    kept: list[Related] = []

    def make(*arguments: Any, **options: Any) -> Related:
        kept.append(Related(*arguments, **options))
        return kept[-1]

    yield make
    for it in kept:
        it.model.close()


OLD = {"u0": {"host": "10.1.0.9", "port": "2181"}, "u1": {"host": "10.1.0.10", "port": "2281"}}


def test_a_zookeeper_charm_of_the_older_kind_tells_its_units(related: Make) -> None:
    it = related()
    it.model.settle()
    assert "'zookeeper' has no ZooKeeper to offer yet" in str(it.backend.missing)
    relation = it.relate()
    it.model.settle()
    assert "relate a ZooKeeper charm, or set hosts" in str(it.backend.missing)
    it.publish(**OLD)
    assert it.backend == Backend("zookeeper://10.1.0.10:2281,10.1.0.9:2181", "own")
    # A second one, added later, changes nothing: not even when its name sorts first.
    assert (relation, it.relate("later")) == ("zookeeper:9", "zookeeper:10")
    it.publish("later", u0={"host": "10.9.9.9", "port": "1"})
    assert it.backend.url == "zookeeper://10.1.0.10:2281,10.1.0.9:2181"
    # Hooks that cannot be about it read nothing anew.
    begun = len(it.model.tool_calls)
    it.model.run(minutes=10)
    words = {call.argv[0] for call in it.model.tool_calls[begun:] if call.unit.startswith("app/")}
    assert "relation-list" not in words
    assert it.backend.url == "zookeeper://10.1.0.10:2281,10.1.0.9:2181"


@pytest.mark.parametrize("tls", ["disabled", "enabled"])
@pytest.mark.parametrize("version", ["3.6.0", "4.0.0"])
def test_charmed_zookeeper_tells_its_application_and_by_secrets(
    related: Make, tls: str, version: str
) -> None:
    it = related(version)
    it.relate()
    it.model.settle()
    user = it.model.add_secret("app", username="relation-7", password=PLANTED)
    certificates = it.model.add_secret("app", **{"tls": tls, "tls-ca": PEM})
    told = {"secret-user": user.uri, "secret-tls": certificates.uri, "database": "/coordinator"}
    it.publish(app={**told, "endpoints": "10.1.0.10,10.1.0.9"})
    port = "2182" if tls == "enabled" else "2181"
    url = f"zookeeper://10.1.0.10:{port},10.1.0.9:{port}/coordinator"
    assert (it.backend.missing, it.backend.url) == (None, url)
    # Its leader has been asked for a part of the tree, and for secrets in place of plain text.
    asked = it.asked()
    assert asked["database"] == "/coordinator"
    assert {"username", "password"} <= set(json.loads(asked["requested-secrets"]))
    for unit in ("app/0", "app/1"):
        directory = it.directory(unit)
        backend = it.found[unit]
        assert backend is not None
        assert backend.auth == f"sasl:relation-7:file:{directory}/password"
        assert (directory / "password").read_text() == PLANTED
        if tls == "enabled":
            assert backend.tls is not None
            assert Path(backend.tls.ca).read_text() == PEM
        else:
            assert backend.tls is None, "the servers speak no TLS at this port"
    assert PLANTED not in it.all_databags()
    # Newer ones tell the ports, too.
    it.publish(app={"endpoints": "zk-0.zk:4000, zk-1.zk:4001"})
    assert it.backend.url == "zookeeper://zk-0.zk:4000,zk-1.zk:4001/coordinator"
    # A password that is changed reaches the units, though no databag has changed.
    it.model.update_secret(user, username="relation-7", password=f"another {PLANTED}")
    it.model.settle()
    assert it.hooks.count("secret-changed") == 2
    for unit in ("app/0", "app/1"):
        assert (it.directory(unit) / "password").read_text() == f"another {PLANTED}"


def test_charmed_zookeeper_without_secrets_tells_in_plain_text(related: Make) -> None:
    it = related("2.9.51")
    it.relate()
    it.model.settle()
    told = {"endpoints": "10.1.0.9", "username": "relation-7", "password": PLANTED}
    it.publish(app={**told, "tls": "disabled", "chroot": "fleet"})
    assert it.backend.url == "zookeeper://10.1.0.9:2181/fleet"
    assert str(it.backend.auth).startswith("sasl:relation-7:file:/")


def test_zookeeper_that_encrypts_without_saying_by_which_authority(related: Make) -> None:
    it = related()
    it.relate()
    it.model.settle()
    it.publish(app={"endpoints": "10.1.0.9:2182", "tls": "enabled"})
    assert str(it.backend.missing).startswith("tls_ca is missing: give the certificates")
    it.app.configure(**{"coordinator-tls-ca": "/etc/ca.pem"})
    it.model.settle()
    assert it.backend.missing is None
    assert it.backend.tls is not None
    assert it.backend.tls.ca == "/etc/ca.pem"


def test_a_relation_that_is_gone_is_told_and_nobody_goes_on_elsewhere(related: Make) -> None:
    it = related()
    it.relate()
    it.model.settle()
    it.publish(**OLD)
    for unit in it.model.applications["zookeeper"].units:
        it.model.applications["zookeeper"].remove_unit(unit.name)
    it.model.settle()
    assert "has no ZooKeeper to offer yet" in str(it.backend.missing)
    assert it.backend.is_wanted


def test_a_secret_in_the_configuration_is_read_anew(related: Make) -> None:
    it = related(hosts="zk1:2181", relation="")
    secret = it.model.add_secret("app", username="deployer", password=PLANTED)
    it.app.configure(**{"coordinator-auth": secret.uri})
    it.model.settle()
    assert str(it.backend.auth).startswith("sasl:deployer:file:/")
    assert (it.directory("app/1") / "password").read_text() == PLANTED
    it.model.update_secret(secret, username="deployer", password="another")
    it.model.settle()
    assert (it.directory("app/1") / "password").read_text() == "another"
    assert PLANTED not in it.all_databags()


@pytest.mark.parametrize(
    ("version", "granted", "content", "complaint"),
    [
        ("3.6.0", False, {"username": "u", "password": PLANTED}, "grant it to this application"),
        ("3.6.0", True, {"username": "u"}, "the secret in auth has no password"),
        ("3.6.0", True, {"password": PLANTED}, "the secret in auth has no username"),
        ("2.9.51", True, {"username": "u", "password": PLANTED}, "secret-get cannot be run"),
    ],
)
def test_a_secret_that_cannot_be_used_is_told_and_no_hook_fails(
    related: Make, version: str, granted: bool, content: dict[str, str], complaint: str
) -> None:
    it = related(version, hosts="zk1:2181", relation="")
    secret = it.model.add_secret(*(["app"] if granted else ["other"]), **content)
    it.app.configure(**{"coordinator-auth": secret.uri})
    it.model.settle()
    assert complaint in str(it.backend.missing)
    assert "auth" in str(it.backend.missing)
    assert PLANTED not in str(it.backend.missing)
    assert {hook.outcome for hook in it.model.hooks_run} == {"ok"}
