"""The tool that knows the time."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from milepost_tools.errors import ToolError
from milepost_tools.tool import Arguments, Outcome

MAX_ZONES = 4
_ASKS = re.compile(r"\b(?:time|date|day|today|tonight|now|clock|hour|weekday|year|month|o'clock)\b", re.IGNORECASE)
_REGIONS = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


class Clock:
    """The current time, in UTC or in the time zones that a text names."""

    name = "clock"
    description = "tells the current time and date"
    kind = "function"

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def calls_for(self, text: str) -> Sequence[Arguments]:
        if not _ASKS.search(text):
            return []
        lowered = text.lower()
        places = sorted(
            (match.start(), zone)
            for name, zone in _places().items()
            if name in lowered and (match := re.search(rf"\b{re.escape(name)}\b", lowered))
        )
        zones = list(dict.fromkeys(zone for _, zone in places)) or ["UTC"]
        return [{"timezone": zone} for zone in zones[:MAX_ZONES]]

    async def call(self, arguments: Arguments, key: str) -> Outcome:
        zone = arguments["timezone"]
        try:
            local = self._now().astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError):
            raise ToolError(f"there is no time zone {zone}; allowed: IANA names such as Europe/Berlin") from None
        result = local.isoformat(sep=" ", timespec="seconds") + f" ({local:%A}, {zone})"
        return Outcome(result, f"{zone} = {result}")


@cache
def _places() -> Mapping[str, str]:
    """Lower-case names that a text may use: "tokyo", "asia/tokyo", "utc"."""
    places = {"utc": "UTC", "gmt": "UTC"}
    for zone in sorted(available_timezones()):
        region, _, city = zone.partition("/")
        if region in _REGIONS:
            places[zone.lower()] = zone
            places.setdefault(city.rpartition("/")[2].replace("_", " ").lower(), zone)
    return places
