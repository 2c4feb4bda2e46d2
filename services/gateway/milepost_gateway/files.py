"""The built web UI: all its files in memory, found by name alone, so that no path can lead out of its folder."""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

INDEX = "index.html"
ASSETS = "assets/"
BASE = re.compile(rb'<base href="/" ?/?>')
ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
PACKABLE = re.compile(r"text/|application/(javascript|json|manifest\+json)|image/svg\+xml")
WORTH_PACKING = 1024  # bytes
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'self'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
MISSING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Milepost</title>
<h1>Milepost</h1>
<p>The gateway runs, but its web UI is not built. Build it with <code>make ui</code>, then load this page again.</p>
<p>The API is there: <a href="api/openapi.json">its description</a>.</p>
"""


@dataclass(frozen=True)
class Asset:
    """One file by encoding, "" is the file itself; what the build did not pack is packed when it is asked for."""

    kind: str
    bodies: dict[str, bytes]
    etag: str

    @property
    def is_packable(self) -> bool:
        return bool(PACKABLE.match(self.kind)) and len(self.bodies[""]) >= WORTH_PACKING

    def body(self, accepted: str) -> tuple[str, bytes]:
        """The best encoding of those that a client accepts, and the file in it."""
        offered = [part.strip() for part in accepted.lower().split(",")]
        allowed = {part.partition(";")[0].strip() for part in offered if not part.replace(" ", "").endswith(";q=0")}
        if "gzip" in allowed and "gzip" not in self.bodies and self.is_packable:
            self.bodies["gzip"] = gzip.compress(self.bodies[""], mtime=0)
        best = next((encoding for encoding, _ in ENCODINGS if encoding in allowed and encoding in self.bodies), "")
        return best, self.bodies[best]


class Files:
    """Reads the folder when it is asked first, and again when its index has changed."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._base = b'<base href="%b/">' % prefix.encode()
        self._stamp: tuple[int, ...] = ()
        self._assets: dict[str, Asset] = {}

    @property
    def is_built(self) -> bool:
        self._refresh()
        return INDEX in self._assets

    def respond(self, request: Request, path: str) -> Response:
        """The file, or the page of the application for what is a place within it."""
        if not self.is_built:
            return HTMLResponse(MISSING, headers=_missing_headers())
        asset = self._assets.get(path)
        if asset is None and (path.startswith(ASSETS) or "." in path.rpartition("/")[2]):
            return Response("not found\n", 404, {"Cache-Control": "no-store", **SECURITY}, "text/plain")
        return _send(request.headers, asset or self._assets[INDEX], forever=path.startswith(ASSETS))

    def _refresh(self) -> None:
        try:
            status = (self._folder / INDEX).stat()
        except OSError:
            self._stamp, self._assets = (), {}
            return
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._assets = self._read()
            self._stamp = stamp

    def _read(self) -> dict[str, Asset]:
        names = {
            file.relative_to(self._folder).as_posix(): file
            for file in sorted(self._folder.rglob("*"))
            if file.is_file() and not file.is_symlink() and not file.name.startswith(".")
        }
        packed = {name + suffix for name in names for _, suffix in ENCODINGS}
        return {name: self._asset(name, names) for name in names if name not in packed}

    def _asset(self, name: str, names: dict[str, Path]) -> Asset:
        bodies = {"": names[name].read_bytes()}
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if name == INDEX:
            bodies[""] = BASE.sub(self._base, bodies[""])
        else:
            for encoding, suffix in ENCODINGS:
                if name + suffix in names:
                    bodies[encoding] = names[name + suffix].read_bytes()
        etag = f'"{hashlib.sha256(bodies[""]).hexdigest()[:32]}"'
        return Asset(kind, bodies, etag)


def _missing_headers() -> dict[str, str]:
    return {"Cache-Control": "no-store", **SECURITY}


def _send(headers: Headers, asset: Asset, *, forever: bool) -> Response:
    told = {"Cache-Control": FOREVER if forever else ASK_AGAIN, "ETag": asset.etag, **SECURITY}
    if asset.is_packable or len(asset.bodies) > 1:
        told["Vary"] = "Accept-Encoding"
    if asset.etag in headers.get("if-none-match", ""):
        return Response(status_code=304, headers=told)
    encoding, body = asset.body(headers.get("accept-encoding", ""))
    if encoding:
        told["Content-Encoding"] = encoding
    return Response(body, headers=told, media_type=asset.kind)
