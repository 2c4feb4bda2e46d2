"""Tools behind gRPC: a calculator, a clock and messages to other roles; a model chooses where several could answer."""

from milepost_tools.arithmetic import Value, evaluate
from milepost_tools.calculator import Calculator
from milepost_tools.clock import Clock
from milepost_tools.send_message import SendMessage
from milepost_tools.settings import ToolsSettings
from milepost_tools.tool import Tool

__all__ = ["Calculator", "Clock", "SendMessage", "Tool", "ToolsSettings", "Value", "evaluate"]
