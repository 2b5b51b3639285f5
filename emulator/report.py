"""The state of a running device as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from math import isinf
from typing import Final

from emulator.bms.bms import SmallBms
from emulator.bms.codes import CODES, Code
from emulator.bms.history import History
from emulator.bms.outputs import Output
from emulator.bms.rules import Reason
from emulator.bms.settings import SettingKey
from emulator.options import AS_FAST_AS_POSSIBLE
from emulator.personality.quirks import EVERY_REGISTER, EVERYTHING, Quirks, RadioQuirks
from emulator.reading.state import JsonObject, JsonValue, as_json
from emulator.rig import Proxy, Rig, Station
from emulator.simulation.faults import FAULTS, Fault

# The thirteen values of the history (M-V5).
HISTORY: Final[Mapping[str, Callable[[History], float | None]]] = {
    "deepest_discharge_ah": lambda history: history.deepest_discharge_ah,
    "cumulative_drawn_ah": lambda history: history.cumulative_drawn_ah,
    "discharged_energy_kwh": lambda history: history.discharged_energy_kwh,
    "charged_energy_kwh": lambda history: history.charged_energy_kwh,
    "synchronizations": lambda history: history.synchronizations,
    "cycles": lambda history: history.cycles,
    "seconds_since_full": lambda history: history.seconds_since_full,
    "lowest_battery_voltage": lambda history: history.lowest_battery_voltage,
    "highest_battery_voltage": lambda history: history.highest_battery_voltage,
    "lowest_cell_voltage": lambda history: history.lowest_cell_voltage,
    "highest_cell_voltage": lambda history: history.highest_cell_voltage,
    "lowest_temperature": lambda history: history.lowest_temperature,
    "highest_temperature": lambda history: history.highest_temperature,
}


def state(rig: Rig, station: Station) -> JsonObject:
    """Return everything of one device and its surroundings."""
    bms = station.bms
    return {
        "scenario": rig.scenario.name,
        "seed": station.simulation.seed,
        "time": station.simulation.now.isoformat(timespec="seconds"),
        "elapsed": station.simulation.elapsed,
        "speed": speed(rig.drive.speed),
        "device": _device(station),
        "status": {**asdict(bms.status_page()), "system_on": bms.system_on, "powered": bms.powered},
        "bank": asdict(bms.bank_page()),
        "batteries": [_battery(bms, index) for index in range(len(bms.bank.batteries))],
        "outputs": {output.value: bms.outputs.is_high(output) for output in Output},
        "health": health(bms),
        "permissions": {
            "charge": bms.allowed_to_charge,
            "charge_off_reasons": _reasons(bms.charge_off_reasons),
            "discharge": bms.allowed_to_discharge,
            "discharge_off_reasons": _reasons(bms.discharge_off_reasons),
        },
        "remote": {"on": bms.remote.is_on(bms.voltage), **as_json(bms.remote)},
        "leds": {"blue": bms.blue_led, "red": bms.red_led},
        "codes": [_code(code) for code in CODES if code in bms.codes],
        "flows": flows(station),
        "faults": list(station.faults.active),
        "settings": {key.value: bms.settings.get(key) for key in SettingKey},
        "history": {name: value(bms.history) for name, value in HISTORY.items()},
        "firmware": bms.firmware_state,
        "fuse": fuse(station),
        "world": world(station),
        "waiting": {reason.value: seconds for reason, seconds in bms.waiting.items()},
        "radio": radio(station),
        "proxies": [proxy_state(proxy, port, station) for proxy, port in rig.listening],
    }


def health(bms: SmallBms) -> JsonObject:
    """Return the strain on batteries and BMS, and what it has damaged."""
    return {
        "current_use": bms.bank.current_use.name.lower(),
        "over_pulse": bms.bank.over_pulse,
        "ruined": bms.bank.ruined,
        "destroyed": bms.bank.destroyed,
        "reserve_ah": bms.reserve_ah,
        "within_operating_temperature": bms.within_operating_temperature,
        "output_currents": {output.value: current for output, current in bms.output_currents.items()},
        "destroyed_outputs": sorted(bms.destroyed_outputs),
    }


def fuse(station: Station) -> JsonObject:
    """Return how the main fuse is, with its rating in A."""
    main = station.simulation.world.fuse
    return {"rating": main.rating, "melted": main.state.melted, "blown": main.blown}


def world(station: Station) -> JsonObject:
    """Return sun and temperature, and what is set by hand."""
    simulation = station.simulation
    return {
        "temperature": simulation.world.ambient(simulation.elapsed),
        "sunshine": simulation.world.sunshine(simulation.elapsed),
        "by_hand": as_json(simulation.world.by_hand),
    }


def speed(value: float) -> JsonValue:
    """Return a speed for JSON, which has no infinity."""
    return AS_FAST_AS_POSSIBLE if isinf(value) else value


def flows(station: Station) -> list[JsonObject]:
    """Return what loads, chargers and switches do."""
    world, elapsed = station.simulation.world, station.simulation.elapsed
    return [{**asdict(item), "forced": world.forced.get(item.name)} for item in world.status(elapsed)]


def radio(station: Station) -> JsonObject:
    """Return what the device does over Bluetooth."""
    device, session = station.device, station.ve_smart.session
    return {
        "advertises": device.advertises,
        "instant_readout_on": device.instant_readout_on,
        "bluetooth_enabled": station.bms.bluetooth_enabled,
        "temperature": station.bms.shown_temperature,
        "advertises_state_of_charge": device.advertises_state_of_charge,
        "connected": device.connected,
        "bonds": sorted(device.peripheral.bonds),
        "chunks_without_credit": 0 if session is None else session.server.chunks_without_credit,
        "forbidden_writes": {
            **device.forbidden_writes,
            **{f"0x{register:04X}": count for register, count in station.registers.forbidden_writes.items()},
        },
        "personality": station.personality,
        "quirks": quirks(station),
    }


def quirks(station: Station) -> JsonObject:
    """Return how the device behaves where nobody knows how a real one does."""
    return {**_switches(station.ve_smart.quirks), **_switches(station.device.quirks)}


def _switches(values: Quirks | RadioQuirks) -> JsonObject:
    return {field.name: _quirk(getattr(values, field.name)) for field in fields(values)}


def proxy_state(proxy: Proxy, port: int, station: Station) -> JsonObject:
    """Return a proxy, as a device sees it."""
    return {
        "name": proxy.friendly_name,
        "port": port,
        "address": proxy.source,
        "rssi": proxy.rssi[station.device.address],
        "slots": proxy.slots,
        "free_slots": proxy.free_slots,
        "clients": proxy.clients,
        "knows_pin": proxy.pin is not None,
    }


def faults(station: Station) -> list[JsonObject]:
    """Return every fault, on or off."""
    active = station.faults.active
    return [_fault(fault, on=fault.name in active) for fault in FAULTS.values()]


def _fault(fault: Fault, *, on: bool) -> JsonObject:
    return {"name": fault.name, "description": fault.description, "argument": fault.argument, "on": on}


def _device(station: Station) -> JsonObject:
    device = station.device
    return {
        "number": station.number,
        "name": device.name,
        "address": device.address,
        "serial_number": device.serial_number,
        "key": device.key.hex(),
        "pin": device.pin,
    }


def _battery(bms: SmallBms, index: int) -> JsonObject:
    page = bms.battery_page(index)
    if page is None:
        return {"serial_number": bms.bank.batteries[index].serial_number, "unplugged": True}
    return {**asdict(page), "unplugged": False}


def _reasons(reasons: frozenset[Reason]) -> Sequence[JsonValue]:
    return sorted(reasons)


def _code(code: Code) -> JsonObject:
    description = CODES[code]
    return {"code": code, "severity": description.severity.name.lower(), "meaning": description.meaning}


def _quirk(value: object) -> JsonValue:
    if isinstance(value, bool | int | float | StrEnum):
        return value
    if value == EVERY_REGISTER:
        return EVERYTHING
    return sorted(value) if isinstance(value, frozenset) else None
