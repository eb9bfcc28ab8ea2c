"""The units, largest first, with their names and their length in seconds."""

from collections import namedtuple

Unit = namedtuple("Unit", "symbol names seconds")

UNITS = (
    Unit("d", ("d", "day", "days"), 86_400),
    Unit("h", ("h", "hr", "hour", "hours"), 3_600),
    Unit("min", ("min", "m", "minute", "minutes"), 60),
    Unit("s", ("s", "sec", "second", "seconds"), 1),
)

BY_NAME = {name: unit for unit in UNITS for name in unit.names}
