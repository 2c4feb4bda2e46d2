"""`milepost-gateway`."""


def main() -> None:
    """Entry point."""
    raise SystemExit("milepost-gateway: not yet")
