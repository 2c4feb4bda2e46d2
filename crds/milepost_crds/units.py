"""Durations and Kubernetes quantities: the two texts that carry a unit."""

import re
from decimal import Decimal
from functools import lru_cache

DURATION_PATTERN = "^([0-9]{1,4}h)?([0-9]{1,4}m)?([0-9]{1,5}s)?$"
QUANTITY_PATTERN = r"^([0-9]{1,15}(\.[0-9]{0,9})?|\.[0-9]{1,9})(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?$"

_LARGEST_QUANTITY = Decimal(2**63 - 1)  # the API server caps larger ones here
_SMALLEST_STEP = Decimal("1e-9")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse_duration(text: str) -> int:
    """Seconds of a duration such as "90s", "5m" or "1h30m".

    Raises:
        ValueError: the text is not such a duration.
    """
    if not text or not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration")
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall("([0-9]+)([hms])", text))


@lru_cache(maxsize=1024)
def parse_quantity(text: str) -> Decimal:
    """Value of a Kubernetes quantity such as "500m", "2" or "1.5Gi", in cores or bytes.

    Raises:
        ValueError: the text is not such a quantity.
    """
    matched = re.fullmatch(QUANTITY_PATTERN, text)
    if matched is None:
        raise ValueError(f"{text!r} is not a quantity")
    number, suffix = Decimal(matched[1]), matched[3] or ""
    value = number * (_FACTORS[suffix] if suffix in _FACTORS else Decimal(10) ** int(suffix[1:]))
    return min(value.quantize(_SMALLEST_STEP, rounding="ROUND_UP") if value < 1 else value, _LARGEST_QUANTITY)
