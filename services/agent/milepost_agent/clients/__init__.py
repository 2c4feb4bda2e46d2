"""Calls from the agent to services, and the watch over their health."""

from milepost_agent.clients.health import HealthMonitor
from milepost_agent.clients.services import CallContext, ServiceClients

__all__ = ["CallContext", "HealthMonitor", "ServiceClients"]
