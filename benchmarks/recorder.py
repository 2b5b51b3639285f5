"""The recorder of a house, as a new installation of Home Assistant has it, with its database in a folder of its own."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
import sqlite3
from tempfile import TemporaryDirectory

from homeassistant.components.recorder import get_instance
from homeassistant.core import HomeAssistant
from homeassistant.helpers import recorder as recorder_helper
from homeassistant.setup import async_setup_component

from .house import House, Integration, a_house

_TABLES = ("states", "state_attributes", "statistics", "statistics_short_term", "events", "event_data")


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is in a database."""

    rows: int
    bytes: int

    def __sub__(self, other: Size) -> Size:
        return Size(rows=self.rows - other.rows, bytes=self.bytes - other.bytes)


@dataclass
class Recording:
    """A house whose states are recorded."""

    house: House
    file: Path

    async def done(self) -> None:
        """Let the recorder write all that it has heard of."""
        await get_instance(self.house.hass).async_block_till_done()

    async def size(self) -> Size:
        """Return what is in the database now."""
        await self.done()
        return await self.house.hass.async_add_executor_job(_size, self.file)


def _size(file: Path) -> Size:
    with closing(sqlite3.connect(file)) as database:
        rows = sum(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in _TABLES)
        (pages,), (size,) = (database.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
    return Size(rows=rows, bytes=(pages - free) * size)


@asynccontextmanager
async def a_recording(
    integration: Integration,
    first: Sequence[bytes],
    *,
    options: dict[str, object] | None = None,
    tick: Callable[[float], object] | None = None,
) -> AsyncGenerator[Recording]:
    """Set up a house with a recorder."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "home-assistant_v2.db"

        async def prepare(hass: HomeAssistant) -> None:
            recorder_helper.async_initialize_recorder(hass)
            config = {"recorder": {"db_url": f"sqlite:///{file}"}}
            assert await async_setup_component(hass, "recorder", config)
            await hass.data[recorder_helper.DATA_RECORDER].db_connected
            await get_instance(hass).async_recorder_ready.wait()

        async with a_house(integration, first, prepare=prepare, options=options, tick=tick) as house:
            yield Recording(house, file)
