"""The page about wiring, against what scenarios can say."""

from pathlib import Path
import re

from emulator.bms.outputs import CURRENT_LIMITS, VOLTAGE_DROP, Output
from emulator.bms.remote import H_ABOVE, L_BELOW
from emulator.world.switches import WIRINGS, SwitchKind

PAGE = (Path(__file__).parents[2] / "docs" / "wiring.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    """Return the rows of the table below a title."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_m_o1_m_o2_m_o3_what_the_outputs_give() -> None:
    limits = {Output(row[0].replace("-", "_")): row[3] for row in rows("The three outputs")}
    assert limits == {output: f"{limit:g} A" for output, limit in CURRENT_LIMITS.items()}
    assert f"{VOLTAGE_DROP:g} V" in PAGE


def test_m_r2_m_r3_the_voltages_of_the_remote_terminals() -> None:
    assert f"below {L_BELOW:g} V" in PAGE
    assert f"above {H_ABOVE:g} V" in PAGE


def test_m_o5_everything_that_can_be_wired_is_in_the_tables() -> None:
    outputs = {"load": Output.LOAD, "charger": Output.CHARGER}
    for title, output in outputs.items():
        table = rows(f"{title.capitalize()}s: the {title} output")
        named = {
            name for row in table for name in re.findall(r"[a-z][a-z-]+", " ".join(re.findall(r"`([^`]+)`", row[2])))
        }
        assert {name for name, wiring in WIRINGS.items() if wiring.output is output} <= named
    assert {kind.value for kind in SwitchKind} <= set(re.findall(r"`([a-z-]+)`", PAGE))


def test_every_product_has_its_cable_or_terminal() -> None:
    products = [*rows("Loads: the load output"), *rows("Chargers: the charger output")]
    assert len(products) >= 14
    assert all(all(row) for row in products)
    assert len(set(re.findall(r"ASS03055\d{4}", PAGE))) == 5
