"""Leaves out packages that LangGraph imports for what the agent never does: LangSmith, LangGraph's hosted server.

They are a third of what it takes to import LangGraph, on the way between the death of an agent and its first resumed
run. And what is not there cannot send a prompt anywhere.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

ABSENT: Final = ("langsmith", "langgraph_sdk", "requests")


def leave_out() -> None:
    """Lets every import of these packages succeed from now on, with names that may be mentioned but not used.

    For the process of the agent, before anything of LangGraph is imported.
    """
    sys.meta_path.insert(0, _Finder())


class _Placeholder(type):
    """A name of a package that is left out: good for an annotation, and for nothing else."""

    def __getattr__(cls, name: str) -> Any:
        raise AttributeError(f"{cls.__module__}.{cls.__name__} is left out of the agent: it has no {name}")

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        raise TypeError(f"{cls.__module__}.{cls.__name__} is left out of the agent")


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        placeholder = _Placeholder(name, (), {"__module__": self.__name__})
        setattr(self, name, placeholder)
        return placeholder


class _Loader:
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute."""


class _Finder:
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in ABSENT:
            return None
        return ModuleSpec(name, _Loader(), is_package=True)  # type: ignore[arg-type] # importlib.abc takes 30 ms
