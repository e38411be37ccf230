"""A simulated Juju for testing charms: hooks, databags, leadership, faults, a virtual clock."""

from .application import Application, Unit
from .charms import Charm, DirectoryCharm, FunctionCharm, Hook
from .faults import Faults, Scripted
from .model import Model, NotSettledError
from .records import HookRecord, ToolCall, WorkInterval
from .resolver import Action, Command
from .tools import ToolResult

__all__ = [
    "Action",
    "Application",
    "Charm",
    "Command",
    "DirectoryCharm",
    "Faults",
    "FunctionCharm",
    "Hook",
    "HookRecord",
    "Model",
    "NotSettledError",
    "Scripted",
    "ToolCall",
    "ToolResult",
    "Unit",
    "WorkInterval",
]
