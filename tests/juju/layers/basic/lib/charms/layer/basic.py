"""The charm's own Python environment, and the flags of its configuration.

The system's Python, which has nothing but the standard library, runs this module first, and
then the environment's, in every hook: so each function imports what it alone needs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ENVIRONMENT = Path("../.venv")
CONFIG_FLAGS = ("config.changed", "config.set.", "config.default.")


def bootstrap_charm_deps() -> None:
    """Make sure that the environment exists and that this hook runs in it."""
    if not ENVIRONMENT.exists():
        install_wheelhouse(ENVIRONMENT)
    activate_venv()


def install_wheelhouse(environment: Path) -> None:
    """Make `environment` from the wheels of the charm and from nothing else.

    It appears complete or not at all: an install hook that was killed half way starts anew.
    """
    import subprocess
    import venv

    unfinished = environment.with_name(environment.name + ".unfinished")
    venv.create(unfinished, clear=True, symlinks=True)
    wheels = sorted(Path("wheelhouse").glob("*.whl"))
    # The charm's own pip, run from its wheel: not every system's Python has one.
    (pip,) = (wheel for wheel in wheels if wheel.name.startswith("pip-"))
    subprocess.check_call(
        [
            unfinished / "bin/python",
            pip / "pip",
            "--isolated",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--no-cache-dir",
            *wheels,
        ]
    )
    unfinished.rename(environment)


def activate_venv() -> None:
    """Go on in the Python of the environment; actions call this first."""
    python = ENVIRONMENT.absolute() / "bin/python"
    if not ENVIRONMENT.samefile(sys.prefix):
        os.environ["PATH"] = f"{python.parent}:{os.environ['PATH']}"
        os.execve(python, [str(python), *sys.argv], os.environ)
    import platform

    # charmhelpers 1.2.1, which charms.reactive imports, knows Debian by this function's
    # answer only, and refuses to be imported where os-release names another system.
    platform.linux_distribution = lambda: ("debian", "", "")  # type: ignore[attr-defined]


def init_config_states() -> None:
    """Set the flags that describe the configuration in this hook."""
    import yaml
    from charmhelpers.core import hookenv
    from charms.reactive import set_flag, toggle_flag

    definitions = Path("config.yaml")
    if not definitions.exists():
        return
    config = hookenv.config()
    for name, definition in yaml.safe_load(definitions.read_text())["options"].items():
        if config.changed(name):
            set_flag("config.changed")
            set_flag(f"config.changed.{name}")
        toggle_flag(f"config.set.{name}", config.get(name))
        toggle_flag(f"config.default.{name}", config.get(name) == definition.get("default"))


def clear_config_states() -> None:
    """Clear those flags again, so that the next hook describes its own configuration."""
    from charms.reactive import clear_flag, get_flags

    for flag in get_flags():
        if flag.startswith(CONFIG_FLAGS):
            clear_flag(flag)
