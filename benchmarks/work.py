"""The processor time of an advertisement, from the Bluetooth manager to the database, and of many devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import process_time

from custom_components.smallbms_ng.const import CONF_UPDATE_INTERVAL

from .figures import Row
from .house import OURS, PEER, Integration, run
from .recorder import Recording, a_recording
from .trace import HOUR, noisy_records, steady_records

RUNS = 7
DEVICES = 50
# Before anything is measured, so much is heard, in s: everything is known, and a minute is over.
_WARM_UP = 70
_MICROSECONDS = 1e6


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something that hears a trace."""

    name: str
    integration: Integration
    trace: Sequence[bytes]
    devices: int = 1
    options: Mapping[str, object] = field(default_factory=dict)


async def seconds_of(case: Case, seconds: int) -> tuple[float, int]:
    """Return the s of processor time that a second takes, and how many entities a device has."""
    first = [case.trace[number] for number in range(case.devices)]
    async with a_recording(case.integration, first, options=dict(case.options)) as recording:
        house = recording.house

        def heard(begin: int, count: int) -> list[list[bytes]]:
            # Each device is somewhere else in the trace.
            return [
                [case.trace[(second + number) % len(case.trace)] for number in range(case.devices)]
                for second in range(begin, begin + count)
            ]

        await house.processor(heard(1, _WARM_UP))
        await recording.done()
        return await _processor(recording, heard(_WARM_UP, seconds)) / seconds, house.entities()


async def _processor(recording: Recording, seconds: Sequence[Sequence[bytes]]) -> float:
    """Return the s of processor time that these seconds take, until all is in the database."""
    begun = process_time()
    await recording.house.processor(seconds)
    await recording.done()
    return process_time() - begun


def in_turns(cases: Sequence[Case], seconds: int, runs: int) -> dict[str, tuple[float, int]]:
    """Return the medians by name. The cases take turns, so that what else the machine does meets all of them."""
    found: dict[str, list[tuple[float, int]]] = {case.name: [] for case in cases}
    for _ in range(runs):
        for case in cases:
            found[case.name].append(run(seconds_of(case, seconds)))
    return {name: (median(time for time, _ in some), some[0][1]) for name, some in found.items()}


def rows(quick: bool) -> list[Row]:
    """Measure."""
    runs, seconds = (1, 60) if quick else (RUNS, 600)
    noisy = noisy_records(2 * HOUR, 6 * HOUR)
    one = (
        Case(name="idle", integration=OURS, trace=noisy, devices=0),
        Case(name="ours", integration=OURS, trace=noisy),
        Case(name="written", integration=OURS, trace=noisy, options={CONF_UPDATE_INTERVAL: 1}),
        Case(name="unchanged", integration=OURS, trace=steady_records(HOUR)),
        Case(name="peer", integration=PEER, trace=noisy),
    )
    many = (
        Case(name="ours", integration=OURS, trace=noisy, devices=DEVICES),
        Case(name="peer", integration=PEER, trace=noisy, devices=DEVICES),
    )
    found = in_turns(one, seconds, runs)
    idle = found["idle"][0]
    single = {name: ((time - idle) * _MICROSECONDS, entities) for name, (time, entities) in found.items()}
    fifty = {name: (time - idle) * 100 for name, (time, _) in in_turns(many, max(seconds // 5, 60), runs).items()}
    return [
        Row(
            figure="advertisement to recorded states",
            unit="µs",
            ours=single["ours"][0],
            peer=single["peer"][0],
            most=0.25,
        ),
        Row(figure="entities", ours=single["ours"][1], peer=single["peer"][1], least=1),
        Row(
            figure="advertisement of which nothing is written, beside one of which everything is (1 s)",
            unit="µs",
            ours=single["unchanged"][0],
            peer=single["written"][0],
            most=0.3,
        ),
        Row(figure=f"{DEVICES} devices at 1/s", unit="% of a core", ours=fifty["ours"], peer=fifty["peer"], most=0.25),
        Row(figure="the same", unit="% of a core", ours=fifty["ours"], most=5),
    ]


def growth(numbers: Sequence[int], seconds: int) -> dict[str, list[tuple[int, float]]]:
    """Return the processor time in % of a core by the number of devices, of us and of the peer."""
    noisy = noisy_records(2 * HOUR, 6 * HOUR)

    def percent(integration: Integration, devices: int) -> float:
        case = Case(name="", integration=integration, trace=noisy, devices=devices)
        return 100 * run(seconds_of(case, seconds))[0]

    return {
        integration.name: [(number, percent(integration, number)) for number in numbers] for integration in (OURS, PEER)
    }
