"""Parties, by kazoo's names."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from coordinator import _core
from coordinator.kazoo.errors import translated
from coordinator.kazoo.paths import normal
from coordinator.kazoo.recipe.handle import Handle, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient


class BaseParty:
    """Who is there, and our membership.

    A member joins again by itself when its session was lost, under a new name.

    Attributes:
        client: The client that it was made with.
        path: The path that it was made with.
        data: The identifier, as the node holds it.
    """

    _SHALLOW = False

    def __init__(self, client: KazooClient, path: str, identifier: object = None) -> None:
        self.client = client
        self.path = path
        self.data = text(identifier).encode("utf-8")
        self._unique = uuid.uuid4().hex
        self._handle = Handle(client, text(identifier), self._make)

    def _make(self, core: _core.Client) -> _core.Party:
        return _core.kazoo_party(core, normal(self.path), self._SHALLOW, self._unique)

    @property
    def participating(self) -> bool:
        """Whether this client is a member now."""
        party = self._handle.made
        return party is not None and party.joined

    @property
    def create_path(self) -> str:
        """The node of this member: the next one, the current one, or the last one."""
        party = self._handle.made
        return (party and party._node) or f"{self.path}/{self._first()}"

    @property
    def node(self) -> str:
        """Its name."""
        return self.create_path.rpartition("/")[2]

    def _first(self) -> str:
        raise NotImplementedError

    def join(self) -> None:
        """Join; does nothing for a member."""
        self.client.retry(self._join)

    def _join(self) -> None:
        with translated(self.client):
            party = self._handle()
            party.join()
        # kazoo's members stay, also if the program keeps nothing of them.
        self.client._open().keep(self)

    def leave(self) -> bool:
        """Leave; whether this client was a member."""
        return self.client.retry(self._leave)

    def _leave(self) -> bool:
        with translated(self.client):
            left = self._handle().leave()
        self.client._open().let_go(self)
        return left

    def _members(self) -> list[str]:
        with translated(self.client):
            return self._handle().members()

    def __iter__(self) -> Iterator[str]:
        """Give the identifiers of the members, in the same order for every reader."""
        return iter(self.client.retry(self._members))

    def __len__(self) -> int:
        return len(self.client.retry(self._members))


class Party(BaseParty):
    """A party whose members' identifiers stand in their nodes."""

    def _first(self) -> str:
        return f"{self._unique}__party__"


class ShallowParty(BaseParty):
    """A party whose members' identifiers stand in the names of their nodes."""

    _SHALLOW = True

    def _first(self) -> str:
        return f"{self._unique}-{self.data.decode('utf-8')}"
