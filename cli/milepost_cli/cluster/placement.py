"""Which pod a new run goes to: rendezvous hashing, so that every client chooses the same one without asking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def ranked(pods: Iterable[str], correlation_id: str) -> list[str]:
    """Pod names, the one that the run belongs to first.

    Each pod is weighed by a hash of its own name and the id, so the order of the others is the same whether a pod is
    there or not, and a further pod takes only its own share of the ids.
    """
    return sorted(pods, key=lambda pod: hashlib.sha256(f"{pod}\0{correlation_id}".encode()).digest(), reverse=True)
