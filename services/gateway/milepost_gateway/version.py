"""The version of Milepost that runs here."""

import importlib.metadata


def version() -> str:
    """Empty when it runs from files that were never installed."""
    try:
        return importlib.metadata.version("milepost")
    except importlib.metadata.PackageNotFoundError:
        return ""
