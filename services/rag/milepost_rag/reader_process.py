"""`python -m milepost_rag.reader_process`: reads documents for `milepost_rag.reader`, within limits of its own.

Whatever a document does to the parsers, it does it here: memory is limited for the process and CPU time for each
document, and the kernel takes this process first when memory is short. Messages are JSON behind their length in four
bytes: a request on standard input, one reply on standard output.
"""

import contextlib
import hashlib
import json
import math
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from milepost_rag import documents
from milepost_rag.errors import UnreadableError
from milepost_rag.formats import blocks_of
from milepost_rag.limits import Limits

OUT_OF_MEMORY = 77
"""Exit code: a document needed more memory than there is."""


def main() -> None:
    """Answers requests until standard input ends."""
    limits = Limits(**json.loads(sys.argv[1]))
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a parser that prints must not be taken for a reply
    _restrict(limits)
    _send(replies, {"ready": True})
    try:
        while request := _receive(sys.stdin.buffer):
            _allow_cpu_time(limits.reader_cpu_seconds)
            _send(replies, _reply(request, limits))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _reply(request: Mapping[str, str], limits: Limits) -> dict[str, Any]:
    digest = stamp = ""
    try:
        data, stamp = documents.read(Path(request["folder"]), request["path"], limits)
        digest = hashlib.sha256(data).hexdigest()
        if digest == request["digest"]:
            return {"digest": digest, "stamp": stamp, "unchanged": True}
        blocks, size = [], 0
        for block in blocks_of(request["path"], data):
            size += len(block.text)
            if size > limits.characters:
                raise UnreadableError(
                    f"holds over {limits.characters:,} characters of text; allowed: at most that many"
                )
            blocks.append({name: _clean(value) for name, value in asdict(block).items()})
        return {"digest": digest, "stamp": stamp, "blocks": blocks}
    except UnreadableError as error:
        reason = str(error)
    except RecursionError:
        reason = "is nested too deeply to be read"
    except MemoryError:
        raise
    except Exception as error:  # parsers raise what they like over bytes that they did not foresee
        reason = f"is damaged: {type(error).__name__}: {error}"
    return {"digest": digest, "stamp": stamp, "refused": " ".join(_clean(reason)[:300].split())}


def _clean(value: Any) -> Any:
    """Text without what neither UTF-8 nor SQLite's functions can hold: lone surrogates and NUL."""
    return value.encode("utf-8", "replace").decode().replace("\0", "") if isinstance(value, str) else value


def _restrict(limits: Limits) -> None:
    # Not the address space, which counts files that are mapped to be read: those of locales have 200 MB on some systems
    resource.setrlimit(resource.RLIMIT_DATA, (limits.reader_bytes, limits.reader_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not everywhere; then the limit alone must do
        Path("/proc/self/oom_score_adj").write_text("1000")


def _allow_cpu_time(seconds: int) -> None:
    """The kernel ends the process with SIGXCPU when it takes more from now on."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(usage.ru_utime + usage.ru_stime) + seconds, most))


def _send(stream: BinaryIO, message: Mapping[str, Any]) -> None:
    data = json.dumps(message).encode()
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def _receive(stream: BinaryIO) -> Any:
    head = stream.read(4)
    return json.loads(stream.read(int.from_bytes(head, "big"))) if len(head) == 4 else None


if __name__ == "__main__":
    main()
