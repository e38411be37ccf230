"""A simulated Juju for testing charms: hooks, databags, leadership and faults on a virtual clock."""

from .application import Application, Unit
from .charms import Charm, DirectoryCharm, FunctionCharm, Hook
from .faults import Faults, Scripted
from .model import Model, NotSettled
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
    "NotSettled",
    "Scripted",
    "ToolCall",
    "ToolResult",
    "Unit",
    "WorkInterval",
]
