"""What the control channel is sent: JSON objects, read field by field, with one sentence when something is wrong."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from emulator.reading.state import JsonValue


class RequestError(Exception):
    """A request that is not answered; the text is one sentence for the user."""

    def __init__(self, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(text)
        self.status = status


class Body:
    """The fields of a request."""

    def __init__(self, content: JsonValue) -> None:
        if not isinstance(content, Mapping):
            raise RequestError("The request should be a JSON object.")
        self._content = content

    def __contains__(self, name: str) -> bool:
        return name in self._content

    def check_names(self, known: Iterable[str]) -> None:
        """Raise RequestError if there is a field of another name."""
        names = tuple(known)
        for name in self._content:
            if name not in names:
                raise RequestError(f"There is no field {name}; there are {', '.join(names) or 'none here'}.")

    def names(self) -> Iterable[str]:
        """Return the names of the fields."""
        return self._content.keys()

    def value(self, name: str) -> JsonValue:
        """Return a field. Raises RequestError if it is missing."""
        if name not in self._content:
            raise RequestError(f"The field {name} is missing.")
        return self._content[name]

    def truth(self, name: str) -> bool:
        """Return a truth value. Raises RequestError."""
        return as_truth(name, self.value(name))

    def text(self, name: str) -> str:
        """Return a text. Raises RequestError."""
        value = self.value(name)
        if not isinstance(value, str):
            raise RequestError(f"{name} should be a text.")
        return value

    def number(self, name: str, minimum: float, maximum: float) -> float:
        """Return a number. Raises RequestError."""
        return as_number(name, self.value(name), minimum, maximum)

    def whole(self, name: str, minimum: int, maximum: int) -> int:
        """Return a whole number. Raises RequestError."""
        return as_whole(name, self.value(name), minimum, maximum)


def as_truth(name: str, value: JsonValue) -> bool:
    """Return a truth value. Raises RequestError."""
    if not isinstance(value, bool):
        raise RequestError(f"{name} should be true or false.")
    return value


def as_number(name: str, value: JsonValue, minimum: float, maximum: float) -> float:
    """Return a number. Raises RequestError."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # Comparing is safe where isfinite is not: with whole numbers that no float holds. It is false for NaN.
    if not (isinstance(value, int | float) and number and minimum <= value <= maximum):
        raise RequestError(f"{name} should be a number from {minimum:g} to {maximum:g}.")
    return float(value)


def as_whole(name: str, value: JsonValue, minimum: int, maximum: int) -> int:
    """Return a whole number. Raises RequestError."""
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise RequestError(f"{name} should be a whole number from {minimum} to {maximum}.")
    return value
