"""Reads YAML files the way the API server's clients do, and refuses what would be read in two ways."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from milepost_crds.errors import ManifestError

MAX_FILE_BYTES = 1024 * 1024
MAX_DOCUMENTS = 1000
MAX_VALUES = 100_000
MAX_DEPTH = 64


class _KeyError(yaml.MarkedYAMLError):
    """A key that the API server would read in another way than we do."""


class _Loader(yaml.CSafeLoader):
    """Safe YAML without timestamps (JSON has none), with unique text keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- declared so by the base class
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.tag != "tag:yaml.org,2002:str":
                raise _KeyError(problem="has a key that is not text", problem_mark=key_node.start_mark)
            if key_node.value in seen:
                problem = f'has the key "{key_node.value}" twice'
                raise _KeyError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def read_documents(path: Path) -> list[Any]:
    """The YAML documents of a file, empty ones left out.

    Raises:
        ManifestError: the file cannot be read, is too large, is not UTF-8 or is not YAML.
    """
    text = _read_text(path)
    try:
        documents = [_bounded(path, document) for document in _parsed(path, text) if document is not None]
    except _KeyError as error:
        raise ManifestError([f"{path}: {error.problem}{_line(error)}; allowed: every key once, as text"]) from None
    except yaml.MarkedYAMLError as error:
        problem = f"{error.problem or error.context}{_line(error)}"
        raise ManifestError([f"{path}: is not YAML: {problem}; allowed: YAML documents"]) from None
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise ManifestError([f"{path}: is not YAML: {problem}; allowed: YAML documents"]) from None
    if not documents:
        raise ManifestError([f"{path}: is empty; allowed: at least one resource"])
    return documents


def render_manifest(manifest: Mapping[str, Any]) -> str:
    """YAML of one resource that reads back as the same resource."""
    # The dumper in pure Python writes the line separator U+0085 as a line break, which is read as a space.
    return yaml.dump(dict(manifest), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ManifestError([f"{path}: does not exist; allowed: a YAML file or a folder with YAML files"]) from None
    except OSError as error:
        raise ManifestError([f"{path}: cannot be read ({error.strerror}); allowed: a readable file"]) from None
    if len(data) > MAX_FILE_BYTES:
        raise ManifestError([f"{path}: is too large; allowed: at most {MAX_FILE_BYTES // 1024} KiB a file"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError([f"{path}: is not UTF-8 text (byte {error.start}); allowed: UTF-8"]) from None


def _parsed(path: Path, text: str) -> Iterator[Any]:
    _refuse_deep_nesting(path, text)
    for index, document in enumerate(yaml.load_all(text, Loader=_Loader)):
        if index == MAX_DOCUMENTS:
            raise ManifestError([f"{path}: has too many documents; allowed: at most {MAX_DOCUMENTS} a file"])
        yield document


def _refuse_deep_nesting(path: Path, text: str) -> None:
    depth = 0  # the C composer recurses and overruns its stack, its parser does not
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ManifestError([f"{path}: is nested too deeply; allowed: at most {MAX_DEPTH} levels"])


def _bounded(path: Path, document: Any) -> Any:
    """Refuses what aliases blow up, before anything walks over it recursively."""
    waiting, count = [(document, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            allowed = f"at most {MAX_VALUES} values, {MAX_DEPTH} levels deep"
            raise ManifestError([f"{path}: is too large when its aliases are followed; allowed: {allowed}"])
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)
    return document


def _line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f" (line {mark.line + 1})" if mark is not None else ""
