"""The capability tags that the router has learned, and the answer that none of them fits."""

from __future__ import annotations

NONE = "none"

TAG_DESCRIPTIONS = {
    "coding": "writes, changes, fixes and tests program code",
    "review": "judges code, designs or texts that exist and reports their faults",
    "rag": "answers from the organisation's own documents and cites them",
    "tools": "calculates, converts, tells time and weather, calls APIs and fetches URLs",
    "general": "chats, explains general knowledge, writes and translates everyday text",
}
TAGS = tuple(TAG_DESCRIPTIONS)
LABELS = (*TAGS, NONE)
