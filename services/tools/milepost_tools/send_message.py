"""The tool that writes to other roles of the workflow."""

import re
from collections.abc import Sequence

from milepost.capability.v1 import capability_pb2
from milepost_tools.tool import Arguments, Outcome

MAX_MESSAGES = 16
_LINE = re.compile(
    r"^[ \t]*(?:[-*][ \t]+)?(?:please[ \t]+)?(?:tell|send[ \t]+to)[ \t]+(?:the[ \t]+)?"
    r"(?P<recipient>[a-z][a-z0-9-]{0,39})[ \t]*:[ \t]*(?P<payload>\S.*?)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)


class SendMessage:
    """Sends what lines like `tell coder: use a context manager` or `send to reviewer: ...` ask for.

    The agent delivers a message to the next step of the recipient, once, and refuses a role that its workflow does
    not have.
    """

    name = "sendMessage"
    description = "sends a message to another role of the team"
    kind = "function"

    def calls_for(self, text: str) -> Sequence[Arguments]:
        found = dict.fromkeys((match["recipient"].lower(), match["payload"]) for match in _LINE.finditer(text))
        return [{"recipient": recipient, "payload": payload} for recipient, payload in found][:MAX_MESSAGES]

    async def call(self, arguments: Arguments, key: str) -> Outcome:
        recipient, payload = arguments["recipient"], arguments["payload"]
        message = capability_pb2.OutgoingMessage(recipient_role=recipient, payload=payload)
        return Outcome(f"handed over for {recipient}", f"Message to {recipient}: {payload}", (message,))
