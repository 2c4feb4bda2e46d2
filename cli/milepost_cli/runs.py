"""`milepost run`, `watch`, `cancel`, `pause`, `resume`, `answer` and `approve`."""

from __future__ import annotations

import sys
import uuid

from milepost.agent.v1 import agent_pb2
from milepost_cli.backend import Backend
from milepost_cli.errors import UsageError
from milepost_cli.follow import choose_view, follow
from milepost_cli.pages import run_state
from milepost_cli.views import write_json, write_line
from milepost_service.json_form import to_json

PROMPT_LIMIT = 65_536  # bytes of UTF-8
COMMENT_LIMIT = 4_096  # characters


def run(
    backend: Backend,
    workflow: str,
    prompt: str,
    *,
    following: bool,
    as_json: bool,
    correlation_id: str,
    is_new: bool,
) -> int:
    """Start a run; follow it to its end when asked to. `is_new` says that the correlation id was made just now."""
    agent = backend.accepting(workflow, correlation_id, is_new=is_new)
    answer = agent.start_run(prompt, correlation_id)
    if following:
        return follow(agent, answer.run, backend.option, choose_view(answer.run, backend.option, as_json=as_json))
    if as_json:
        write_json(to_json(answer.run))
        return 0
    what = "exists already" if answer.existing else "accepted"
    write_line(f"run {answer.run.run_id} of {workflow} {what}")
    write_line(f"  milepost watch {answer.run.run_id}{backend.option}")
    return 0


def watch(backend: Backend, run_id: str, *, as_json: bool) -> int:
    agent, known = backend.with_run(run_id)
    return follow(agent, known, backend.option, choose_view(known, backend.option, as_json=as_json))


def cancel(backend: Backend, run_id: str, *, reason: str, as_json: bool) -> int:
    agent, known = backend.with_run(run_id)
    return _tell(agent.cancel(known.run_id, reason), as_json=as_json)


def pause(backend: Backend, run_id: str, *, reason: str, as_json: bool) -> int:
    agent, known = backend.with_run(run_id)
    return _tell(agent.pause(known.run_id, reason), as_json=as_json)


def resume(backend: Backend, run_id: str, *, as_json: bool) -> int:
    agent, known = backend.with_run(run_id)
    return _tell(agent.resume(known.run_id), as_json=as_json)


def answer(backend: Backend, run_id: str, question_id: str, reply: str, *, as_json: bool) -> int:
    agent, known = backend.with_run(run_id)
    return _tell(agent.answer(known.run_id, question_id, reply), as_json=as_json)


def approve(backend: Backend, run_id: str, approval_id: str, *, reject: bool, comment: str, as_json: bool) -> int:
    agent, known = backend.with_run(run_id)
    return _tell(agent.decide(known.run_id, approval_id, approve=not reject, comment=comment), as_json=as_json)


def checked_comment(comment: str) -> str:
    """Raises UsageError when it is too long."""
    if len(comment) > COMMENT_LIMIT:
        raise UsageError(f"--comment: {len(comment):,} characters; allowed: at most {COMMENT_LIMIT:,}")
    return comment


def read_prompt(text: str, what: str) -> str:
    """`text`, or standard input for "-". Raises UsageError when it is empty, too long or not UTF-8."""
    try:
        raw = sys.stdin.buffer.read() if text == "-" else text.encode()
        prompt = raw.decode()
    except UnicodeError:
        raise UsageError(f"{what} is not UTF-8 text") from None
    if not prompt.strip():
        raise UsageError(f"{what} is empty; allowed: 1 to {PROMPT_LIMIT:,} bytes")
    if len(raw) > PROMPT_LIMIT:
        raise UsageError(f"{what} has {len(raw):,} bytes; allowed: 1 to {PROMPT_LIMIT:,} bytes")
    return prompt


def checked_uuid(option: str, given: str | None) -> str:
    """A new UUID when none is given. Made here, so that a request that is sent again stays one."""
    if given is None:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(given))
    except ValueError:
        raise UsageError(f"{option} {given}: must be a UUID") from None


def _tell(known: agent_pb2.Run, *, as_json: bool) -> int:
    if as_json:
        write_json(to_json(known))
    else:
        write_line(f"run {known.run_id}: {run_state(known)}")
    return 0
