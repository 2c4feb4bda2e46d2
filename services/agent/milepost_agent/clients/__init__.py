"""Calls from the agent to services, and the watch over their health."""

from milepost_agent.clients.health import HealthMonitor, usage_from
from milepost_agent.clients.services import CallContext, ServiceClients

__all__ = ["CallContext", "HealthMonitor", "ServiceClients", "usage_from"]
