"""What every gRPC process of Milepost shares: bootstrap, health, calls, registration, telemetry, settings, logs.

The modules are the surface; nothing is imported here, so that a command that needs one does not pay for all.
"""

__all__ = [
    "calls",
    "channels",
    "correlation",
    "errors",
    "interceptors",
    "logs",
    "metadata",
    "model_client",
    "models",
    "registration",
    "resource",
    "server",
    "servicer",
    "settings",
    "telemetry",
    "testing",
]
