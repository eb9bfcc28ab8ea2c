"""Durations as people write and read them."""

from .parse import DurationError, parse
from .render import render

__all__ = ["DurationError", "parse", "render"]
