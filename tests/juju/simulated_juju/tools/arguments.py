"""The command line of a hook tool: flags, what they take, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .formats import FORMATS


class UsageError(Exception):
    """The command line is wrong: the tool exits with 2."""


class ToolFailureError(Exception):
    """The tool cannot do what it was asked: it exits with 1."""


class NeedsStandardInput(Exception):
    """The agent needs the caller's standard input and was not given it."""


@dataclass
class Arguments:
    """A parsed command line."""

    flags: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        """The format asked for."""
        return self.flags.get("format", "smart")

    def has(self, flag: str) -> bool:
        """Whether a flag that takes no value was given."""
        return self.flags.get(flag, "false") == "true"


@dataclass(frozen=True)
class Usage:
    """What a tool's command line may look like; aliases map short flags to long ones."""

    name: str
    arguments: str
    summary: str
    switches: Sequence[str] = ()
    options: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    formatted: bool = False

    def help(self) -> bytes:
        """Return what `--help` prints."""
        lines = [
            f"Usage: {self.name} [options] {self.arguments}".rstrip(),
            "",
            "Summary:",
            self.summary,
            "",
            "Options:",
        ]
        lines += [f"--{name}  (= false)" for name in sorted(self.switches)]
        options = [*self.options, *(["format"] if self.formatted else [])]
        lines += [f'--{name}  (= "")' for name in sorted(options)]
        return ("\n".join(lines) + "\n").encode()

    def parse(self, argv: Sequence[str]) -> Arguments | None:
        """Read a command line; None if it asks for help."""
        parsed = Arguments()
        words = list(argv)
        while words:
            word = words.pop(0)
            if word == "--":
                parsed.words += words
                break
            if not word.startswith("-") or word == "-":
                parsed.words.append(word)
                continue
            if word in ("--help", "-h"):
                return None
            given, equals, value = word.partition("=")
            name = given.lstrip("-")
            name = self.aliases.get(name, name)
            if name in self.switches:
                parsed.flags[name] = value if equals else "true"
            elif name in self.options or (self.formatted and name == "format"):
                if not equals:
                    if not words:
                        raise UsageError(f"option needs an argument: {given}")
                    value = words.pop(0)
                parsed.flags[name] = value
            else:
                raise UsageError(f"option provided but not defined: {given}")
        if self.formatted and parsed.output not in FORMATS:
            raise UsageError(
                f'invalid value "{parsed.output}" for option --format: '
                f'unknown format "{parsed.output}"'
            )
        return parsed

    def at_most(self, parsed: Arguments, count: int) -> None:
        """Refuse more than `count` words."""
        if len(parsed.words) > count:
            raise UsageError(f"unrecognized args: {quoted(parsed.words[count:])}")


def quoted(words: Sequence[str]) -> str:
    """Return a list of words as Go prints it."""
    return "[" + " ".join(f'"{word}"' for word in words) + "]"


def key_values(words: Sequence[str]) -> dict[str, str]:
    """`key=value` words as a map; a key given twice is an error."""
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f'expected "key=value", got "{word}"')
        if key in pairs:
            raise UsageError(f'key "{key}" specified more than once')
        pairs[key] = value
    return pairs
