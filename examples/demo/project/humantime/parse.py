"""From text to seconds: `1h30m`, `1 h 30 min`, `90 minutes`, `1.5h`, `-2d`."""

import re

from .units import BY_NAME

_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


class DurationError(ValueError):
    """The text is not a duration."""


def parse(text):
    """Seconds as a number; an int when nothing was fractional."""
    body = text.strip()
    sign = 1
    if body[:1] in ("-", "+"):
        sign = -1 if body[0] == "-" else 1
        body = body[1:]
    total, position, seen = 0, 0, set()
    while position < len(body):
        match = _PART.match(body, position)
        if match is None:
            raise DurationError(f"not a duration: {text!r}")
        number, name = match.groups()
        unit = BY_NAME.get(name.lower())
        if unit is None:
            raise DurationError(f"unknown unit {name!r} in {text!r}")
        if unit in seen:
            raise DurationError(f"{unit.symbol!r} twice in {text!r}")
        seen.add(unit)
        amount = float(number) if "." in number else int(number)
        total += amount * unit.seconds
        position = match.end()
    if not seen:
        raise DurationError("an empty text is not a duration")
    if isinstance(total, float) and total.is_integer():
        total = int(total)
    return sign * total
