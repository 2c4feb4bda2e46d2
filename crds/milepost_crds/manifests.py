"""Loads manifests from files and folders, with one line for everything that is wrong in them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from milepost_crds.agentworkflow import AgentWorkflow
from milepost_crds.documents import read_documents
from milepost_crds.errors import ManifestError
from milepost_crds.metadata import API_VERSION, ConfigMap
from milepost_crds.modelservice import ModelService
from milepost_crds.problems import describe_problems

Resource = AgentWorkflow | ModelService | ConfigMap

_KINDS: dict[str, tuple[str, type[AgentWorkflow] | type[ModelService] | type[ConfigMap]]] = {
    "AgentWorkflow": (API_VERSION, AgentWorkflow),
    "ModelService": (API_VERSION, ModelService),
    "ConfigMap": ("v1", ConfigMap),
}


@dataclass(frozen=True)
class Manifest:
    """One resource and where it was written; `document_index` counts from 0 in the file."""

    kind: str
    name: str
    namespace: str
    resource: Resource
    path: Path
    document_index: int


def load_manifests(paths: Sequence[Path]) -> list[Manifest]:
    """The resources of files and folders (their *.yaml and *.yml, sorted by name, not deeper), in order.

    Raises:
        ManifestError: something is wrong; `errors` has one line for each problem of all files.
    """
    manifests: list[Manifest] = []
    errors: list[str] = []
    for path in paths:
        try:
            files = _files(path)
        except ManifestError as error:
            errors.extend(error.errors)
            continue
        for file in files:
            try:
                manifests.extend(_load_file(file))
            except ManifestError as error:
                errors.extend(error.errors)
    if not paths:
        errors.append("no manifest is named; allowed: YAML files or folders with YAML files")
    if errors:
        raise ManifestError(errors)
    return manifests


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"} and file.is_file())
    except OSError as error:
        raise ManifestError([f"{path}: cannot be read ({error.strerror}); allowed: a readable folder"]) from None
    if not files:
        raise ManifestError([f"{path}: has no manifests; allowed: a folder with *.yaml or *.yml files"])
    return files


def _load_file(path: Path) -> list[Manifest]:
    documents = read_documents(path)
    manifests: list[Manifest] = []
    errors: list[str] = []
    for index, document in enumerate(documents):
        where = f"{path}, document {index + 1}" if len(documents) > 1 else str(path)
        try:
            resource = parse_resource(document)
        except ManifestError as error:
            errors.extend(f"{where}: {line}" for line in error.errors)
            continue
        metadata = resource.metadata
        manifests.append(Manifest(resource.kind, metadata.name, metadata.namespace, resource, path, index))
    if errors:
        raise ManifestError(errors)
    return manifests


def parse_resource(document: Any) -> Resource:
    """The typed resource of one parsed document.

    Raises:
        ManifestError: lines without a file name, `FIELD.PATH: what is wrong; allowed: ...`.
    """
    if not isinstance(document, dict):
        raise ManifestError([f"is not a resource but {_noun(document)}; allowed: a mapping with apiVersion and kind"])
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ManifestError([f"kind: {_unknown(kind)}; allowed: {', '.join(_nearest(kind))}"])
    api_version, model = _KINDS[kind]
    if document.get("apiVersion") != api_version:
        raise ManifestError([f"apiVersion: {_unknown(document.get('apiVersion'))}; allowed: {api_version}"])
    try:
        return model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise ManifestError(list(describe_problems(error, model))) from None


def _unknown(value: Any) -> str:
    if value is None:
        return "is missing"
    return f'"{value}" is not known' if isinstance(value, str) else f"is not text but {_noun(value)}"


def _nearest(kind: Any) -> list[str]:
    return (get_close_matches(kind, _KINDS, n=1) if isinstance(kind, str) else []) or list(_KINDS)


def _noun(value: Any) -> str:
    return {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}.get(type(value), "a number")
