"""The API server of a context of a kubeconfig: where it is, who we are to it, and its answers as plain objects."""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import urllib3
import yaml
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import should_bypass_proxies
from kubernetes.config import ConfigException
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger, load_kube_config

from milepost_cli.cluster.errors import ClusterError, ForbiddenError, UnreachableError
from milepost_cli.text import one_line

TIMEOUT = (5.0, 20.0)  # seconds to connect, and to answer
PAGE = 500
OBJECT_NAME = re.compile(r"^(<[^>]*>|\w+\([^()]*\)): ")
DEFAULT = "~/.kube/config"
MALFORMED = (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError)
Object = Mapping[str, Any]


class Access:
    """Requests with the rights of one context. `namespace` is the one that the context names, else "default"."""

    def __init__(self, configuration: Configuration, context: str, namespace: str) -> None:
        self.context = context
        self.namespace = namespace
        self.host = str(configuration.host)
        if not configuration.verify_ssl:  # the kubeconfig says so, and a warning for each request helps nobody
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._configuration = configuration
        self._client = ApiClient(configuration)

    @classmethod
    def of(cls, kubeconfig: Path | None, context: str | None) -> Access:
        """The named context, or the current one. Raises ClusterError with one line."""
        where = str(kubeconfig) if kubeconfig else KUBE_CONFIG_DEFAULT_LOCATION or DEFAULT
        _check_there_is_one(where)
        try:
            contexts, current = _contexts(where)
        except MALFORMED as error:
            raise ClusterError(f"{where}: no usable kubeconfig: {one_line(str(error), 300)}") from error
        allowed = ", ".join(sorted(contexts)) or "none"
        name = context or current
        if not name:
            raise ClusterError(f"{where}: no current context is set; choose one with --context; allowed: {allowed}")
        if name not in contexts:
            raise ClusterError(f"{where}: there is no context {name}; allowed: {allowed}")
        configuration = Configuration()
        configuration.retries = False
        try:
            load_kube_config(config_file=where, context=name, client_configuration=configuration, persist_config=False)
        except MALFORMED as error:
            raise ClusterError(f"{where}: context {name}: {one_line(str(error), 300)}") from error
        return cls(configuration, name, contexts[name])

    def close(self) -> None:
        self._client.rest_client.close()

    def get(self, path: str, **query: str) -> Object | None:
        """The object at `path`; None when there is none. Raises UnreachableError, ForbiddenError, ClusterError."""
        url = f"{self.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = self._client.rest_client.pool_manager.request(
                "GET", url, headers=self.headers(), timeout=urllib3.Timeout(*TIMEOUT), retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(
                f"context {self.context}: the API server at {self.host} cannot be reached: {_cause(error)}"
            ) from error
        return self._content(answer.status, answer.data)

    def items(self, path: str, **query: str) -> list[Object] | None:
        """All items of a list, read in pages; None when there is no such resource."""
        found: list[Object] = []
        token = ""
        while True:
            page = self.get(path, limit=str(PAGE), **({"continue": token} if token else {}), **query)
            if page is None:
                return None
            found.extend(page.get("items") or ())
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return found

    def headers(self) -> dict[str, str]:
        """What says who we are. A token that has run out is made anew."""
        authorization = self._configuration.get_api_key_with_prefix("BearerToken", "authorization")
        return {"Authorization": authorization} if authorization else {}

    def denial(self, status: int, message: str) -> str:
        """One line for a request that was denied; the message of the API server names user, verb and resource."""
        if status == 401:
            return (
                f"context {self.context}: the API server does not accept the credentials; log in, or choose a --context"
            )
        hint = "; the CLI needs get and create on pods/portforward" if "pods/portforward" in message else ""
        return f"context {self.context}: {message}{hint}"

    def websocket_url(self, path: str) -> str:
        scheme, host, base, _, _ = urlsplit(self.host)
        place, _, query = path.partition("?")
        return urlunsplit(("wss" if scheme == "https" else "ws", host, base + place, query, ""))

    @property
    def server_name(self) -> str | None:
        """The name that the certificate is checked for, when it is another than the host's."""
        return self._configuration.tls_server_name or None

    @property
    def proxy(self) -> str | None:
        proxy = self._configuration.proxy
        bypassed = should_bypass_proxies(self.host, self._configuration.no_proxy or "")
        return str(proxy) if proxy and not bypassed else None

    def tls_context(self) -> ssl.SSLContext | None:
        """As the kubeconfig says; None for an API server without TLS. Raises ClusterError for unusable files."""
        configuration = self._configuration
        if not self.host.startswith("https:"):
            return None
        try:
            tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
            # certificate authorities of clusters often lack the extensions that the strict check asks for
            tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not configuration.verify_ssl:
                tls.check_hostname = False
                tls.verify_mode = ssl.CERT_NONE
            if configuration.cert_file:
                tls.load_cert_chain(configuration.cert_file, configuration.key_file)
        except (OSError, ssl.SSLError) as error:
            raise ClusterError(f"context {self.context}: certificates: {one_line(str(error), 200)}") from error
        return tls

    def _content(self, status: int, body: bytes) -> Object | None:
        if status == 404:
            return None
        try:
            content: Object = json.loads(body)
        except ValueError:
            content = {"message": body.decode(errors="replace")}
        if status == 200:
            return content
        message = one_line(str(content.get("message") or f"HTTP status {status}"), 400)
        if status in (401, 403):
            raise ForbiddenError(self.denial(status, message))
        if status in (429, 500, 502, 503, 504):
            raise UnreachableError(f"context {self.context}: the API server answered {status}: {message}")
        raise ClusterError(f"context {self.context}: the API server answered {status}: {message}")


def _check_there_is_one(where: str) -> None:
    files = [Path(part).expanduser() for part in where.split(os.pathsep) if part]
    if not any(file.is_file() for file in files):
        raise ClusterError(
            f"{where}: there is no kubeconfig; name one with --kubeconfig or KUBECONFIG, "
            "or use local mode without --namespace"
        )


def _contexts(where: str) -> tuple[dict[str, str], str]:
    """Namespace by context, and the name of the current context or nothing. What one context lacks harms no other."""
    merged = KubeConfigMerger(where).config
    if merged is None:
        raise ValueError("it is empty")
    listed = [node.value for node in merged.value["contexts"]]
    namespaces = {str(one["name"]): str((one.get("context") or {}).get("namespace") or "default") for one in listed}
    return namespaces, str(merged.value.get("current-context") or "")


def _cause(error: BaseException) -> str:
    """The innermost reason, without the object names that urllib3 puts before it."""
    innermost = list(_chain(error))[-1]
    return one_line(OBJECT_NAME.sub("", str(innermost)), 200) or type(innermost).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        reason = getattr(current, "reason", None)
        current = reason if isinstance(reason, BaseException) else None
