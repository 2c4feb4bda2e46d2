"""Files of a Hugging Face Hub: which bytes a revision names, by the hub's own word.

One HEAD tells the commit, the SHA-256 and the size; the download that follows is one of any URL. A client library
would bring its own cache, locks and transfer protocol beside those that are here.
"""

import re
import time
from urllib.parse import quote, urljoin, urlsplit

import httpx

from milepost_crds import HuggingFaceSource
from milepost_service.errors import ConfigurationError
from milepost_service.models.downloads.attempt import MOST_REDIRECTS
from milepost_service.models.downloads.errors import require_success, told
from milepost_service.models.downloads.fetch import Sleep, persist
from milepost_service.models.downloads.patience import Patience
from milepost_service.models.downloads.remote_file import RemoteFile
from milepost_service.models.progress import Progress, unheard

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def resolve(
    source: HuggingFaceSource,
    *,
    endpoint: str,
    where: str,
    token: str = "",
    say: Progress = unheard,
    patience: Patience | None = None,
    sleep: Sleep = time.sleep,
) -> RemoteFile:
    """The file of the commit that the revision names now.

    `endpoint` is the hub's URL, `where` the field of the source, for messages. Raises ConfigurationError for what is
    not there or may not be read, for a file that the hub tells no SHA-256 of, and a hub that does not answer.
    """
    patience = patience or Patience()
    url = _url(endpoint, source, source.revision)
    timeout = httpx.Timeout(patience.stall_seconds, connect=patience.connect_seconds)
    with httpx.Client(timeout=timeout) as client:
        headers = persist(
            lambda: _head(client, url, token, where),
            say=lambda line: say(f"{source.repo}: {line}"),
            subject=f"{where}: {url}",
            patience=patience,
            sleep=sleep,
        )
    etag = headers.get("x-linked-etag") or headers.get("etag", "")
    digest = etag.removeprefix("W/").strip('"').lower()
    if not _SHA256.fullmatch(digest):
        raise ConfigurationError(
            f"{where}: {url} has no SHA-256 by its hub; allowed: a file that is kept in LFS, as model files are"
        )
    size, commit = headers.get("x-linked-size", ""), headers.get("x-repo-commit", "")
    return RemoteFile(
        # The commit, so that a branch that moves on does not change the file between two attempts.
        url=_url(endpoint, source, commit) if _COMMIT.fullmatch(commit) else url,
        sha256=digest,
        where=where,
        size=int(size) if size.isascii() and size.isdigit() else None,
        token=token,
    )


def _url(endpoint: str, source: HuggingFaceSource, revision: str) -> str:
    return f"{endpoint.rstrip('/')}/{source.repo}/resolve/{quote(revision, safe='')}/{quote(source.file)}"


def _head(client: httpx.Client, url: str, token: str, where: str) -> httpx.Headers:
    """What the hub says of a file. A redirect to where its bytes lie ends there, one within the hub is followed."""
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    asked = url
    with told(url, where):
        for _ in range(MOST_REDIRECTS + 1):
            response = client.head(asked, headers=headers)
            target = urljoin(asked, response.headers.get("location", asked))
            if not response.is_redirect or "x-linked-etag" in response.headers:
                break
            if _origin(target) != _origin(url):
                raise ConfigurationError(
                    f"{where}: {url} leads away from its hub; allowed: a repository of {_origin(url)}"
                )
            asked = target
        else:
            raise httpx.TooManyRedirects("", request=response.request)
    if not response.is_redirect:
        require_success(response, url, where)
    return response.headers


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
