"""The `milepost` command, and the supervisor of local mode. Imports nothing, so that every command starts fast."""

__all__: list[str] = []
