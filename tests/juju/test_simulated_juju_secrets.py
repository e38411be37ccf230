"""Secrets in the simulated Juju: who may read them, and which of their contents."""

from __future__ import annotations

import json

from simulated_juju import FunctionCharm, Hook, Model


def read(hook: Hook, *words: str) -> tuple[int, str]:
    result = hook.tool(["secret-get", *words])
    return result.code, (result.stdout or result.stderr).decode().strip()


def test_a_unit_keeps_to_the_content_that_it_has_read_until_it_asks_for_the_newest() -> None:
    seen: list[tuple[str, str, str]] = []

    def charm(hook: Hook) -> None:
        if hook.name in ("config-changed", "secret-changed"):
            uri = json.loads(hook.tool(["config-get", "secret", "--format=json"]).stdout)
            refresh = ["--refresh"] if hook.name == "secret-changed" else []
            kept = read(hook, uri, "password")[1]
            seen.append((hook.name, kept, read(hook, uri, "password", *refresh)[1]))
            if hook.name == "secret-changed":
                assert hook.environment["JUJU_SECRET_ID"] == uri

    with Model(seed=1) as model:
        secret = model.add_secret("app", username="u", password="first")
        app = model.deploy("app", FunctionCharm(charm), config={"secret": secret.uri, "n": 0})
        other = model.add_secret("app", password="unread")
        model.settle()
        model.update_secret(secret, username="u", password="second")
        model.update_secret(other, password="still unread")
        model.settle()
        app.configure(n=1)
        model.settle()
    assert seen == [
        ("config-changed", "first", "first"),
        ("secret-changed", "first", "second"),
        ("config-changed", "second", "second"),
    ]


def test_a_secret_is_for_those_that_it_is_granted_to_and_came_with_juju_3() -> None:
    answers: list[tuple[int, str]] = []

    def charm(hook: Hook) -> None:
        if hook.name == "start":
            uri = json.loads(hook.tool(["config-get", "secret", "--format=json"]).stdout)
            answers.append(read(hook, uri))
            answers.append(read(hook, "secret:nothing"))

    for version in ("3.6.0", "2.9.51"):
        with Model(seed=1, version=version) as model:
            secret = model.add_secret("app", password="p")
            config = {"secret": secret.uri}
            for name in ("app", "other"):
                model.deploy(name, FunctionCharm(charm), config=config)
            model.run(minutes=2)
            if version < "3":
                outputs = [hook.output for hook in model.hooks_run if hook.hook == "start"]
                assert outputs
                assert all("secret-get" in output for output in outputs)
    missing = (1, 'ERROR secret "nothing" not found')
    assert sorted(answers) == sorted(
        [(0, "password: p"), missing, (1, "ERROR permission denied"), missing]
    )
