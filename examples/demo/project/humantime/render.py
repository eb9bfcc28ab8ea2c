"""From seconds to text: the largest units that matter."""

from .units import UNITS


def render(seconds, parts=2):
    """`1 h 30 min`: at most `parts` units, the smallest one rounded."""
    sign = "-" if seconds < 0 else ""
    rest = abs(seconds)
    first = next((i for i, unit in enumerate(UNITS) if rest >= unit.seconds), len(UNITS) - 1)
    chosen = UNITS[first : first + parts]
    words = []
    for unit in chosen[:-1]:
        amount, rest = divmod(rest, unit.seconds)
        if amount:
            words.append(f"{int(amount)} {unit.symbol}")
    last = round(rest / chosen[-1].seconds)
    if last or not words:
        words.append(f"{last} {chosen[-1].symbol}")
    return sign + " ".join(words)
