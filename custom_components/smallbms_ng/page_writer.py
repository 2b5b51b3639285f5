"""Writes values to a device, over a connection that somebody else makes, once they make sense."""

from collections.abc import Mapping

from . import clock
from .client import VeSmartClient
from .messages import invalid_value, warning_not_above_floor
from .page_reader import PageReader
from .page_values import PageValues, Want
from .protocol.levels import LEVELS, clash, in_order
from .protocol.payloads import PayloadError, Value
from .protocol.registers import Name


class PageWriter:
    """Takes what the device has then into the values."""

    def __init__(self, values: PageValues, reader: PageReader) -> None:
        self._values = values
        self._reader = reader

    def check(self, values: Mapping[Name, Value]) -> None:
        """Refuse what makes no sense, as far as is known. Raises ServiceValidationError."""
        try:
            for name, value in values.items():
                self._values.register(name).encode(value, self._values.system_voltage)
        except PayloadError as error:
            raise invalid_value(error) from error
        if values.keys().isdisjoint(LEVELS):
            return
        levels = {name: values.get(name, self._known(name)) for name in LEVELS}
        if found := clash(levels):
            raise warning_not_above_floor(found)

    async def async_write(self, client: VeSmartClient, values: Mapping[Name, Value]) -> None:
        """Write all, in an order that is safe. Raises VeSmartError, and ServiceValidationError before that."""
        if not values.keys().isdisjoint(LEVELS):
            # What is known of them may be old.
            await self._reader.async_read_names(client, LEVELS)
            self.check(values)
        for name in in_order(values, self._known(Name.DISCHARGE_FLOOR)):
            await self._write(client, name, values[name])

    async def _write(self, client: VeSmartClient, name: Name, value: Value) -> None:
        register = self._values.register(name)
        voltage = self._values.system_voltage
        reading = await client.write(client.main_instance, register, value, system_voltage=voltage)
        self._values.take(None, {register.id: reading}, clock.now())

    def _known(self, name: Name) -> Value:
        return self._values.value(Want(name=name))
