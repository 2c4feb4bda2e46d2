"""Tools behind gRPC: a calculator and a clock, chosen by a model where more than one could answer."""

from milepost_tools.arithmetic import Value, evaluate
from milepost_tools.calculator import Calculator
from milepost_tools.clock import Clock
from milepost_tools.settings import ToolsSettings
from milepost_tools.tool import Tool

__all__ = ["Calculator", "Clock", "Tool", "ToolsSettings", "Value", "evaluate"]
