"""Rigs for tests: a bench, or two devices near two proxies, without waiting for anything."""

from dataclasses import dataclass, field

from emulator.rig import Proxy, ProxyPlan, Rig
from emulator.simulation.scenario import Scenario, load, parse_scenario

TWO = """
start: 2026-04-15 09:00+02:00
place: {latitude: 52, longitude: 5}
bank: {model: 12.8/100, state_of_charge: 50}
loads:
  - {name: Lamp, follows: load-output, power: 50}
devices:
  - {name: Port, address: C0:00:00:00:00:01, pin: "111111"}
  - {name: Starboard, address: C0:00:00:00:00:02}
proxies:
  - {name: Bow, rssi: {Port: -50}, slots: 1, pin: yes}
  - {name: Stern, rssi: -70}
"""


@dataclass(kw_only=True)
class StillProxy:
    """A proxy that sends nothing, and may find its port in use."""

    plan: ProxyPlan
    friendly_name: str
    pin: str | None
    slots: int
    rssi: dict[str, int]
    port_in_use: bool = False
    listens: bool = False
    clients: int = 0

    @property
    def source(self) -> str:
        return self.plan.mac

    @property
    def free_slots(self) -> int:
        return self.slots

    async def start(self, host: str, port: int) -> int:
        assert host == "127.0.0.1"
        if self.port_in_use:
            raise OSError(98, "in use")
        self.listens = True
        return port or 12345

    async def stop(self) -> None:
        self.listens = False


@dataclass
class Proxies:
    """Makes still proxies and keeps them; in_use names those whose port is."""

    in_use: frozenset[str] = frozenset()
    made: list[StillProxy] = field(default_factory=list)

    def make(self, plan: ProxyPlan) -> Proxy:
        proxy = StillProxy(
            plan=plan,
            friendly_name=plan.friendly_name,
            pin=plan.pin,
            slots=plan.slots,
            rssi=dict[str, int](plan.rssi),
            port_in_use=plan.friendly_name in self.in_use,
        )
        self.made.append(proxy)
        return proxy


def bench() -> Scenario:
    return load("bench")


def two() -> Scenario:
    return parse_scenario(TWO, name="two", file="two.yaml")


def rig_of(scenario: Scenario, *, speed: float = 0.0) -> Rig:
    """Return a rig that stands still unless told otherwise."""
    return Rig(scenario, make_proxy=Proxies().make, speed=speed)
