"""What requests carry. Lengths of texts are the agents' to check; here only what a request may be at all."""

from typing import Annotated, Literal

from pydantic import Field

from milepost_gateway.endpoint import Input
from milepost_gateway.paging import MAX_SIZE

MAX_BULK = 500
MAX_EVENTS = 10_000

PageSize = Annotated[int, Field(ge=1, le=MAX_SIZE)]
RequestId = Annotated[str, Field(description="UUID; the same request again changes nothing")]


class PageQuery(Input):
    page_size: PageSize = 50
    page_token: str = ""


class RunsQuery(PageQuery):
    workflow: Annotated[str, Field(description="NAME or NAMESPACE/NAME")] = ""
    state: Literal["", "accepted", "running", "waiting", "ended", "paused"] = ""
    outcome: Literal[
        "",
        "Completed",
        "ReviewLimitReached",
        "HopLimitReached",
        "Cancelled",
        "Failed",
        "NeedsAttention",
        "TimeLimitReached",
        "WaitTimedOut",
    ] = ""
    q: Annotated[str, Field(description="Text in the prompt, or the beginning of an id")] = ""


class EventsQuery(Input):
    after: Annotated[int, Field(ge=0, le=2**63 - 1, description="Only events with a higher sequence")] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = 1000


class StreamQuery(Input):
    run: Annotated[str, Field(description="Only events of this run")] = ""
    cursor: Annotated[str, Field(description="Where to go on; the header Last-Event-ID counts more")] = ""


class StartRun(Input):
    workflow: Annotated[str, Field(description="NAME, or NAMESPACE/NAME where several namespaces have one")]
    prompt: str
    correlation_id: Annotated[str, Field(description="UUID; the same request again is the same run")] = ""


class Reason(Input):
    reason: str = ""
    request_id: RequestId = ""


class Resume(Input):
    request_id: RequestId = ""


class GiveAnswer(Input):
    question_id: str
    answer: str


class Decide(Input):
    approval_id: str
    approve: bool
    comment: str = ""


class Send(Input):
    recipient_role: str
    payload: str
    message_id: Annotated[str, Field(description="UUID; a message that is known is dropped")] = ""


class CancelMany(Input):
    run_ids: Annotated[list[str], Field(min_length=1, max_length=MAX_BULK)]
    reason: str = ""
    request_id: RequestId = ""


class SetMode(Input):
    mode: Literal["shipping", "debug"]
    duration_seconds: Annotated[float, Field(gt=0, le=10 * 365 * 86400)] | None = None
    request_id: RequestId = ""


class Restore(Input):
    confirm: Annotated[str, Field(description="The id of the agent, as a sign that it is meant")]
