{{/* What the operator may do: the three scopes of operator/milepost_operator/permissions.py, which a test holds
against this. Server-side apply is a patch, and a create where nothing was. */}}
{{- define "milepost.watchedRules" -}}
- apiGroups: [milepost.dev]
  resources: [agentworkflows, modelservices]
  verbs: [list, watch]
- apiGroups: [milepost.dev]
  resources: [agentworkflows/status, modelservices/status]
  verbs: [patch]
- apiGroups: [milepost.dev]
  resources: [agentworkflows/finalizers, modelservices/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims]
  verbs: [create, delete, get, list, patch, watch]
# Agents are given a Role to get, list and watch Services, and nobody may grant what they do not hold.
- apiGroups: [""]
  resources: [services]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "milepost.clusterRules" -}}
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [get]
{{- end }}

{{- define "milepost.ownRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end }}

{{/* A role and its binding to an account: dict "root" $ "kind" "Role" "name" "..." "namespace" "..." "rules" "..."
"account" "..." "labels" "..."; without the last two it is the operator's. */}}
{{- define "milepost.grant" -}}
{{- $labels := .labels | default (include "milepost.labels" .root) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .account | default (include "milepost.serviceAccountName" .root) }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
