"""What goes wrong between a pod and the Kubernetes API."""


class ApiUnavailable(Exception):
    """The Kubernetes API did not answer as it should; the text says what to look at."""


class WatchExpired(Exception):
    """The Kubernetes API no longer knows the version that a watch was to go on from: list again."""
