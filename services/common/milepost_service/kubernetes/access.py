"""Where the Kubernetes API is, and how a pod proves who it is."""

import os
from dataclasses import dataclass
from pathlib import Path

from milepost_service.errors import ConfigurationError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class ApiAccess:
    """Where the API server is and how a pod proves who it is."""

    base_url: str
    namespace: str
    token_file: Path = SERVICE_ACCOUNT / "token"
    ca_file: Path = SERVICE_ACCOUNT / "ca.crt"

    @classmethod
    def in_cluster(cls, namespace: str, setting: str, otherwise: str) -> "ApiAccess":
        """What Kubernetes gives every pod.

        Args:
            namespace: The one that this process is about; empty: all.
            setting: Which setting asks for it, for example "MILEPOST_REGISTRY: kubernetes".
            otherwise: What it may be outside of a cluster.

        Raises:
            ConfigurationError: this process does not run in a pod.
        """
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise ConfigurationError(
                f"{setting} needs KUBERNETES_SERVICE_HOST, which a pod has; allowed elsewhere: {otherwise}"
            )
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port}", namespace)
