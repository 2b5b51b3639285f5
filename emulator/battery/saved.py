"""Arrays, which are lists in a saved state."""

from dataclasses import dataclass

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class ArrayOf:
    """Annotates a field as an array. item: the type of its items. none_if_empty: whether an empty list means None."""

    item: object
    none_if_empty: bool = False

    def __get_pydantic_core_schema__(self, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return how pydantic reads and writes such a field."""
        return core_schema.no_info_after_validator_function(
            self._array,
            core_schema.list_schema(handler.generate_schema(self.item)),
            serialization=core_schema.plain_serializer_function_ser_schema(_list),
        )

    def _array(self, items: list[bool | float]) -> object:
        return None if self.none_if_empty and not items else np.array(items)


def _list(array: object) -> object:
    return array.tolist() if isinstance(array, np.ndarray) else []
