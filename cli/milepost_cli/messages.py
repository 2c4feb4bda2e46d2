"""`milepost message` and `milepost get messages`: what the roles of a run tell one another."""

from __future__ import annotations

from milepost.agent.v1 import message_pb2
from milepost_cli.backend import Backend
from milepost_cli.get import away_forms, tell_away
from milepost_cli.views import write_json, write_line
from milepost_service.json_form import to_json


def send(backend: Backend, run_id: str, role: str, text: str, *, message_id: str, as_json: bool) -> int:
    """Put a message into the inbox of a role; its next step receives it."""
    agent, known = backend.with_run(run_id)
    message = message_pb2.AgentMessage(message_id=message_id, recipient_role=role, payload=text)
    answer = agent.send_message(known.run_id, message)
    if as_json:
        write_json(to_json(answer))
        return 0
    what = "is known already" if answer.duplicate else "is stored"
    write_line(f"message {answer.message.message_id} to {role} {what}; the next step of {role} receives it")
    return 0


def show(backend: Backend, run_id: str, *, as_json: bool) -> int:
    """All messages of a run, oldest first."""
    agent, known = backend.with_run(run_id)
    messages = agent.list_messages(known.run_id)
    if as_json:
        write_json({"messages": [to_json(message) for message in messages]})
        return 0
    if not messages:
        write_line("no messages")
        return 0
    from milepost_cli.pages import messages_table, page  # noqa: PLC0415 - rich is only paid for where it shows

    with page() as out:
        out.print(messages_table(messages))
    return 0


def newest(backend: Backend, *, limit: int, as_json: bool) -> int:
    """Messages of all runs, newest first; who is away is said, on standard error where the answer is for people."""
    found = backend.messages(limit)
    if as_json:
        away = {"away": away_forms(found.away)} if found.away else {}
        write_json({"messages": [to_json(message) for message in found.messages], **away})
        return 0
    tell_away(found.away, "messages")
    if not found.messages:
        write_line("no messages yet")
        return 0
    from milepost_cli.pages import messages_table, page  # noqa: PLC0415 - rich is only paid for where it shows

    with page() as out:
        out.print(messages_table(found.messages, with_runs=True))
    return 0
