"""Build charms with the real charm-build, and say what it does.

Everything made here lives below `.build/` and is found again by the content it was made from,
so that a second run costs next to nothing:

* the virtual environment of charm-tools,
* the wheel of the package `coordinator`,
* the built charm,
* the Python environment that the built charm's own wheels make.

    python tests/juju/build_charm.py                    # the example charm
    python tests/juju/build_charm.py --layer build/layer/coordinator --wheel dist/x.whl
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
KEPT = PROJECT / ".build"
LAYER = PROJECT / "layer"
BASE_LAYERS = PROJECT / "tests/juju/layers"
EXAMPLE = PROJECT / "examples/rolling-restart"
CHARM_TOOLS = "charm-tools==3.0.9"
# A wheel to ship takes minutes of optimization, which proves nothing more: tests name `quick`.
PROFILE = os.environ.get("COORDINATOR_WHEEL_PROFILE", "release")
# What the wheel is made from.
SOURCES = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE", "src", "python")


class BuildError(Exception):
    """A command of the build failed; the message holds its output."""


def project_wheel() -> Path:
    """Return the wheel of the package as the checkout has it now, built with maturin.

    The variable COORDINATOR_WHEEL names a wheel to take instead.
    """
    if os.environ.get("COORDINATOR_WHEEL"):
        return Path(os.environ["COORDINATOR_WHEEL"]).resolve(strict=True)
    kept = _kept(
        "wheels", f"coordinator-{PROFILE}", [PROJECT / name for name in SOURCES], _build_wheel
    )
    (wheel,) = kept.glob("*.whl")
    return wheel


def make_layer(wheel: Path, destination: Path) -> Path:
    """Write to `destination` the layer with `wheel` in its wheelhouse, and return it."""
    if destination.exists():
        shutil.rmtree(destination)
    shutil.copytree(LAYER, destination, ignore=_ignored)
    (destination / "wheelhouse").mkdir()
    shutil.copy2(wheel, destination / "wheelhouse")
    return destination


def build_charm(charm: Path, wheel: Path) -> Path:
    """Return the built charm of the source `charm`, with `wheel` in the layer's wheelhouse."""

    def build(destination: Path) -> None:
        layers = destination.with_name(destination.name + ".layers")
        shutil.rmtree(layers, ignore_errors=True)
        shutil.copytree(BASE_LAYERS, layers, ignore=_ignored)
        make_layer(wheel, layers / "coordinator")
        _charm_build(charm, layers, destination)
        shutil.rmtree(layers)

    return _kept("charms", charm.name, [charm, LAYER, BASE_LAYERS, wheel], build)


def copy_with_options(charm: Path, directory: Path, options: dict[str, object]) -> Path:
    """Return a copy of the source `charm`, below `directory`, with these layer options."""
    # Imported late: the command line has no use for it.
    import yaml

    source = directory / charm.name
    shutil.copytree(charm, source)
    layer = yaml.safe_load((source / "layer.yaml").read_text())
    layer["options"]["coordinator"] = options
    (source / "layer.yaml").write_text(yaml.safe_dump(layer))
    return source


def example_charm() -> Path:
    """Return the example charm, built from the checkout as it is now."""
    return build_charm(EXAMPLE, project_wheel())


def make_environment(charm: Path) -> Path:
    """Return a Python environment made by the built charm from its own wheelhouse.

    A unit whose `.venv` is a link to it has installed its charm, in no time.
    """

    def make(destination: Path) -> None:
        program = (
            "import sys; sys.path.append('lib'); from pathlib import Path; "
            "from charms.layer import basic; basic.install_wheelhouse(Path(sys.argv[1]))"
        )
        _run([sys.executable, "-c", program, destination], directory=charm)

    return _kept("environments", charm.name, [charm / "wheelhouse", charm / "lib"], make)


def _build_wheel(destination: Path) -> None:
    if shutil.which("maturin") is None:
        raise BuildError("maturin is not on the PATH: pip install maturin")
    _run(
        ["maturin", "build", "--profile", PROFILE, "--locked", "--out", destination],
        directory=PROJECT,
    )


def _charm_build(charm: Path, layers: Path, destination: Path) -> None:
    tools = _kept("tools", "charm-tools", [], _install_charm_tools)
    work = destination.with_name(destination.name + ".work")
    shutil.rmtree(work, ignore_errors=True)
    environment = {
        **os.environ,
        # charm-build calls virtualenv and pip by name; the ones beside it are meant.
        "PATH": f"{tools / 'bin'}:{os.environ['PATH']}",
        "CHARM_LAYERS_DIR": str(layers),
        "CHARM_INTERFACES_DIR": str(work / "interfaces"),
        "CHARM_BUILD_DIR": str(work / "charms"),
        "CHARM_CACHE_DIR": str(work / "cache"),
    }
    # Exit status 100 is a charm that was built and has a warning from charm-proof: we want none.
    _run(
        ["charm-build", "--debug", "--no-report", "--binary-wheels", charm],
        directory=work,
        environment=environment,
    )
    (built,) = (work / "charms").iterdir()
    built.rename(destination)
    shutil.rmtree(work)


def _install_charm_tools(destination: Path) -> None:
    venv.create(destination, with_pip=True)
    _run([destination / "bin/python", "-m", "pip", "install", "--quiet", CHARM_TOOLS])


def _kept(kind: str, name: str, inputs: list[Path], make: Callable[[Path], None]) -> Path:
    """Return the product of `make` for these inputs, made only if it is not there yet.

    What a `make` that failed has left is removed before the next try. One process makes it;
    others that want the same wait for it.
    """
    digest = hashlib.sha256(f"{sys.version_info[:2]} {CHARM_TOOLS}".encode())
    for path, content in _files(inputs):
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    made = KEPT / kind / f"{name}-{digest.hexdigest()[:16]}"
    made.parent.mkdir(parents=True, exist_ok=True)
    finished = made.with_name(made.name + ".finished")
    with _alone(made):
        if not finished.exists():
            _say(f"making {made.relative_to(PROJECT)}")
            started = time.monotonic()
            shutil.rmtree(made, ignore_errors=True)
            make(made)
            finished.touch()
            _say(f"made it in {time.monotonic() - started:.1f} s")
    return made


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _files(inputs: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for top in inputs:
        for path in sorted([top, *top.rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so":
                yield f"{path.relative_to(top.parent)} {path.stat().st_mode}", path.read_bytes()


def _ignored(_directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name in {"__pycache__", "wheelhouse"}]


def _run(
    command: list[str | Path],
    directory: Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    _say(" ".join(words))
    done = subprocess.run(
        words,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"{words[0]} ended with status {done.returncode}:\n{done.stdout}")


def _say(text: str) -> None:
    print(f"build_charm: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Build what the command line asks for, and print where it is."""
    parser = argparse.ArgumentParser(description="Build a charm with the real charm-build.")
    parser.add_argument("charm", nargs="?", type=Path, default=EXAMPLE, help="source of the charm")
    parser.add_argument("--wheel", type=Path, help="wheel of coordinator; built if not given")
    parser.add_argument("--layer", type=Path, help="only write the layer with the wheel to here")
    arguments = parser.parse_args()
    try:
        wheel = arguments.wheel or project_wheel()
        if arguments.layer:
            print(make_layer(wheel, arguments.layer))
        else:
            print(build_charm(arguments.charm.resolve(), wheel.resolve()))
    except BuildError as error:
        sys.exit(f"build_charm: {error}")


if __name__ == "__main__":
    main()
