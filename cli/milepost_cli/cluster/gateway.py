"""The gateway that the chart installs: found by its pods, with the token that it takes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost_cli.cluster.errors import ClusterError, DialError, ForbiddenError
from milepost_cli.cluster.forwarding import Dialer, Stream
from milepost_cli.cluster.keeper import LOOK_EVERY, Api
from milepost_cli.cluster.resources import LABEL_COMPONENT, LABEL_INSTANCE, Object, Pod
from milepost_cli.errors import CliError

SELECTOR = f"app.kubernetes.io/name=milepost,{LABEL_COMPONENT}=gateway"
PORT = 8400
TOKEN_VOLUME = "token"  # noqa: S105 - a name
TOKEN_FILE, PREFIX = "MILEPOST_GATEWAY_TOKEN_FILE", "MILEPOST_GATEWAY_PREFIX"


@dataclass(frozen=True)
class Gateway:
    """Where it is. `secret` and `key` name its tokens, and are empty when it wants none."""

    namespace: str
    release: str
    port: int
    prefix: str
    secret: str
    key: str

    @classmethod
    def of(cls, pod: Object) -> Gateway:
        """As a pod of it is configured."""
        metadata, spec = pod["metadata"], pod.get("spec") or {}
        containers: Sequence[Object] = spec.get("containers") or ()
        settings = {one["name"]: str(one.get("value", "")) for each in containers for one in each.get("env") or ()}
        ports = [port for each in containers for port in each.get("ports") or () if port.get("name") == "http"]
        secrets = [one.get("secret") or {} for one in spec.get("volumes") or () if one.get("name") == TOKEN_VOLUME]
        return cls(
            namespace=str(metadata["namespace"]),
            release=(metadata.get("labels") or {}).get(LABEL_INSTANCE, ""),
            port=int(ports[0]["containerPort"]) if ports else PORT,
            prefix=settings.get(PREFIX, "").strip("/"),
            secret=str(secrets[0].get("secretName", "")) if secrets else "",
            key=settings.get(TOKEN_FILE, "").rpartition("/")[2],
        )

    def ready_pod(self, api: Api) -> str:
        """Name of a pod that answers now. Raises DialError that says why there is none, and CliError."""
        pods = [Pod.of(one) for one in _pods(api, f"/namespaces/{self.namespace}")]
        mine = [pod for pod in pods if pod.instance == self.release]
        ready = [pod.name for pod in mine if pod.ready]
        if ready:
            return ready[0]
        trouble = "; ".join(f"{pod.name}: {pod.trouble}" for pod in mine) or "it has none at this moment"
        raise DialError(f"no pod of the gateway in namespace {self.namespace} is ready: {trouble}")

    def token(self, api: Api) -> str:
        """The first of its tokens, empty when it wants none. Raises ClusterError when it cannot be read."""
        if not self.secret:
            return ""
        where = f"Secret {self.namespace}/{self.secret}"
        try:
            secret = api.get(f"/api/v1/namespaces/{self.namespace}/secrets/{self.secret}")
        except ForbiddenError as error:
            raise ClusterError(f"the token in {where} may not be read by you") from error
        data: Mapping[str, str] = (secret or {}).get("data") or {}
        try:
            return base64.b64decode(data.get(self.key, ""), validate=True).decode().split()[0]
        except (binascii.Error, UnicodeDecodeError, IndexError) as error:
            raise ClusterError(f"{where} holds no token under the key {self.key}") from error


def find_gateway(api: Api, namespace: str) -> Gateway:
    """That of the namespace; where it has none, the only one of the cluster. Raises ClusterError."""
    here = _pods(api, f"/namespaces/{namespace}")
    if here:
        return Gateway.of(here[0])
    try:
        elsewhere = {Gateway.of(pod) for pod in _pods(api, "")}
    except ForbiddenError:
        raise ClusterError(
            f"namespace {namespace} holds no gateway, and you may not look into others; "
            "allowed: -n with the namespace that Milepost is installed in"
        ) from None
    if not elsewhere:
        raise ClusterError(
            f"there is no gateway in namespace {namespace}, nor in another; "
            "the chart installs one unless gateway.enabled is false"
        )
    names = ", ".join(sorted({gateway.namespace for gateway in elsewhere}))
    if "," in names:
        raise ClusterError(
            f"namespace {namespace} holds no gateway; there are several: allowed: -n with one of {names}"
        )
    return min(elsewhere, key=lambda gateway: gateway.release)


class GatewayDialer:
    """Connects to whichever pod of the gateway is ready, so that what leads here outlives each of them."""

    def __init__(self, api: Api, pods: Dialer, gateway: Gateway) -> None:
        self._api, self._pods, self._gateway = api, pods, gateway
        self._pod = ""
        self._look_at = 0.0

    async def dial(self, pod: str, port: int) -> Stream:
        """`pod` is no more than a name for the gateway."""
        if not self._pod or time.monotonic() > self._look_at:
            try:
                self._pod = await asyncio.to_thread(self._gateway.ready_pod, self._api)
            except CliError as error:
                raise DialError(str(error)) from error
            self._look_at = time.monotonic() + LOOK_EVERY
        return await self._pods.dial(self._pod, port)


def _pods(api: Api, place: str) -> list[Object]:
    return api.items(f"/api/v1{place}/pods", labelSelector=SELECTOR) or []
