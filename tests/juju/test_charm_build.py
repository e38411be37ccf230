"""What the real charm-build makes of the layer and the example charm."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import build_charm

RELATION_HOOKS = {
    f"coordinator-relation-{event}"
    for event in ("created", "joined", "changed", "departed", "broken")
}


@pytest.fixture(scope="module")
def charm() -> Path:
    return build_charm.example_charm()


def manifest(charm: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((charm / ".build.manifest").read_text())
    return content


def test_the_layer_has_no_hooks_of_its_own() -> None:
    assert not (build_charm.LAYER / "hooks").exists()


def test_every_hook_is_made_from_the_base_layers_template(charm: Path) -> None:
    template = (charm / "hooks/hook.template").read_text()
    hooks = {path.name: path for path in (charm / "hooks").iterdir()}
    del hooks["hook.template"]
    assert hooks.keys() >= RELATION_HOOKS | {"leader-elected", "leader-settings-changed"}
    assert {name for name, path in hooks.items() if path.read_text() != template} == set()
    assert {name for name, path in hooks.items() if not os.access(path, os.X_OK)} == set()
    signatures = manifest(charm)["signatures"]
    assert {signatures[f"hooks/{name}"][0] for name in hooks} == {"layer:basic"}


def test_the_peer_relation_has_no_endpoint_class(charm: Path) -> None:
    # An Endpoint would read every unit's data in every hook of the relation.
    assert not (charm / "hooks/relations").exists()
    assert "Endpoint)" not in (charm / "reactive/relations/coordinator/peers.py").read_text()
    metadata = yaml.safe_load((charm / "metadata.yaml").read_text())
    assert metadata["peers"] == {"coordinator": {"interface": "coordinator"}}


def test_the_wheelhouse_has_the_package_as_it_was_built(charm: Path) -> None:
    wheel = build_charm.project_wheel()
    assert (charm / "wheelhouse" / wheel.name).read_bytes() == wheel.read_bytes()
    assert manifest(charm)["signatures"][f"wheelhouse/{wheel.name}"][0] == "layer:coordinator"


def test_the_layers_are_told_apart_in_the_manifest(charm: Path) -> None:
    layers = {layer["url"] for layer in manifest(charm)["layers"]}
    assert layers == {"layer:basic", "layer:coordinator", "rolling-restart"}


def test_options_have_their_defaults_unless_the_charm_sets_them(charm: Path) -> None:
    assert yaml.safe_load((charm / "layer.yaml").read_text())["options"]["coordinator"] == {
        "class": "charms.coordinator.SimpleCoordinator",
        "log_level": "info",
        "backend": "peer",
        "scope": "",
        "hosts": "",
        "directory": "",
        "relation": "zookeeper",
        "auth": "",
        "default_acl": [],
        "tls_ca": "",
        "tls_certificate": "",
        "tls_key": "",
        "session_timeout": 0,
        "rules": {},
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [("backend", "zookeper"), ("log_level", "loud"), ("rules", {"at_most": 2})],
)
def test_an_option_that_cannot_work_stops_the_build(
    tmp_path: Path, option: str, value: object
) -> None:
    source = build_charm.copy_with_options(build_charm.EXAMPLE, tmp_path, {option: value})
    with pytest.raises(build_charm.BuildError, match=f"coordinator.{option}"):
        build_charm.build_charm(source, build_charm.project_wheel())


def test_a_charm_keeps_its_own_actions_beside_those_of_the_layer(tmp_path: Path) -> None:
    source = build_charm.copy_with_options(
        build_charm.EXAMPLE, tmp_path, {"class": "charmhelpers.coordinator.Serial"}
    )
    (source / "actions").mkdir()
    (source / "actions/backup").write_text("#!/bin/sh\n")
    (source / "actions/backup").chmod(0o755)
    (source / "actions.yaml").write_text(yaml.safe_dump({"backup": {"description": "Copy"}}))
    charm = build_charm.build_charm(source, build_charm.project_wheel())
    actions = yaml.safe_load((charm / "actions.yaml").read_text())
    assert actions.keys() == {"backup", "release-lock", "show-locks"}
    assert actions["release-lock"]["required"] == ["unit", "lock", "reason"]
    assert {name for name in actions if not os.access(charm / "actions" / name, os.X_OK)} == set()
    options = yaml.safe_load((charm / "layer.yaml").read_text())["options"]
    assert options["coordinator"]["class"] == "charmhelpers.coordinator.Serial"


def test_the_same_sources_are_not_built_twice(charm: Path) -> None:
    started = time.monotonic()
    assert build_charm.example_charm() == charm
    assert time.monotonic() - started < 2
