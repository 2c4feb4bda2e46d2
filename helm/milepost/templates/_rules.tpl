{{/* What the operator may do in the namespaces that it watches. operator/milepost_operator/permissions.py lists what
it does; a test holds both against each other. */}}
{{- define "milepost.namespacedRules" -}}
- apiGroups: [milepost.dev]
  resources: [agentworkflows, modelservices]
  verbs: [get, list, watch]
- apiGroups: [milepost.dev]
  resources: [agentworkflows/status, modelservices/status]
  verbs: [patch]
# Every child that it makes, repairs and removes. Server-side apply is a patch, and a create where nothing was. Agents
# are given a Role to get, list and watch Services; nobody may give rights that he does not hold.
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch, list]
{{- end }}

{{/* What it may read beside, when it watches the whole cluster. */}}
{{- define "milepost.clusterRules" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch]
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [get]
{{- end }}
