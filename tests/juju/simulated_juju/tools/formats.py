"""How a hook tool writes a value: json, yaml or smart, byte for byte as Juju's tools do."""

from __future__ import annotations

import json
from typing import Any

import yaml

FORMATS = ("json", "smart", "yaml")


def formatted(value: Any, output: str) -> bytes:
    """`value` in the format `output`, with the newline Juju puts after it."""
    if output == "json":
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
            text = text.replace(character, escape)
        return text.encode() + b"\n"
    if output == "yaml":
        text = yaml.safe_dump(value, default_flow_style=False, sort_keys=True)
        return text.removesuffix("...\n").encode()
    return smart(value)


def smart(value: Any) -> bytes:
    """Write smart format: text as it is, lists by line, nothing for nothing, maps as yaml."""
    if value is None or value == "" or value == []:
        return b""
    if isinstance(value, bool):
        return b"True\n" if value else b"False\n"
    if isinstance(value, str):
        return value.encode() + b"\n"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value).encode() + b"\n"
    if isinstance(value, (int, float)):
        return f"{value}\n".encode()
    return formatted(value, "yaml")
