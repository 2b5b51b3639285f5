"""The agents of the BlueZ double: whom it asks for passkeys."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dbus_fast.annotations import DBusObjectPath, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method

from .bluez_bus import CALLER, bluez_error


class Capability(StrEnum):
    """What the user of an agent can see and enter."""

    DEFAULT = ""
    DISPLAY_ONLY = "DisplayOnly"
    DISPLAY_YES_NO = "DisplayYesNo"
    KEYBOARD_ONLY = "KeyboardOnly"
    NO_INPUT_NO_OUTPUT = "NoInputNoOutput"
    KEYBOARD_DISPLAY = "KeyboardDisplay"


_CAN_ENTER: Final = frozenset({Capability.DEFAULT, Capability.KEYBOARD_ONLY, Capability.KEYBOARD_DISPLAY})


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent; owner is the unique name of its connection to the bus."""

    owner: str
    path: str
    capability: Capability

    @property
    def can_enter_passkeys(self) -> bool:
        """Whether there is a keyboard."""
        return self.capability in _CAN_ENTER


class AgentManager(ServiceInterface):
    """org.bluez.AgentManager1. agents are by owner; of defaults, the last is in charge, and the first agent is one."""

    def __init__(self) -> None:
        super().__init__("org.bluez.AgentManager1")
        self.agents: dict[str, Agent] = {}
        self.defaults: list[Agent] = []

    @property
    def default(self) -> Agent | None:
        """The agent for what nobody asked for."""
        return self.defaults[-1] if self.defaults else None

    def agent_of(self, owner: str) -> Agent | None:
        """Return the agent for what this connection asks for."""
        return self.agents.get(owner, self.default)

    def forget(self, owner: str) -> None:
        """Drop the agent of a connection, if it has one."""
        if (agent := self.agents.pop(owner, None)) in self.defaults:
            self.defaults.remove(agent)

    @dbus_method(name="RegisterAgent")
    def register(self, path: DBusObjectPath, capability: DBusStr) -> None:
        """Take the caller's agent; each may have one."""
        owner = CALLER.get()
        if owner in self.agents:
            raise bluez_error("AlreadyExists", "Already Exists")
        if capability not in Capability:
            raise bluez_error("InvalidArguments", "Invalid arguments in method call")
        agent = self.agents[owner] = Agent(owner=owner, path=path, capability=Capability(capability))
        if not self.defaults:
            self.defaults.append(agent)

    @dbus_method(name="UnregisterAgent")
    def unregister(self, path: DBusObjectPath) -> None:
        """Drop the caller's agent."""
        self.forget(self._own(path).owner)

    @dbus_method(name="RequestDefaultAgent")
    def request_default(self, path: DBusObjectPath) -> None:
        """Put the caller's agent in charge."""
        agent = self._own(path)
        if agent in self.defaults:
            self.defaults.remove(agent)
        self.defaults.append(agent)

    def _own(self, path: str) -> Agent:
        agent = self.agents.get(CALLER.get())
        if agent is None or agent.path != path:
            raise bluez_error("DoesNotExist", "Does Not Exist")
        return agent
