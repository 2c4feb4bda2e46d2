{{/* Beginning of all names; short enough for what is appended to stay within a DNS label. */}}
{{- define "milepost.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- end -}}
{{- $name | trunc 45 | trimSuffix "-" -}}
{{- end }}

{{- define "milepost.operatorName" -}}
{{- include "milepost.fullname" . }}-operator
{{- end }}

{{/* A colon is allowed here and in no name of a workflow, whose Role can so never be taken for the operator's. */}}
{{- define "milepost.roleName" -}}
{{- include "milepost.fullname" . }}:operator
{{- end }}

{{- define "milepost.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "milepost.operatorName" .) -}}
{{- else -}}
{{- required "serviceAccount.name: is empty; allowed: the name of an existing account when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* What selects the operator's pods. The Deployment's selector is immutable: nothing that changes with a version
or a value may enter. */}}
{{- define "milepost.selectorLabels" -}}
app.kubernetes.io/name: milepost
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of the operator's objects, and of those that all share. */}}
{{- define "milepost.labels" -}}
{{- include "milepost.labelsOver" (dict "root" . "selector" "milepost.selectorLabels") -}}
{{- end }}

{{/* Labels of an object; the chart's own win over those of the values: dict "root" $ "selector" "..." */}}
{{- define "milepost.labelsOver" -}}
{{- $own := include .selector .root | fromYaml -}}
{{- with .root -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "milepost" -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}
{{- end }}

{{/* Reference of one role's image: include "milepost.image" (dict "root" $ "role" "agent"). */}}
{{- define "milepost.image" -}}
{{- $images := .root.Values.images -}}
{{- $image := index $images .role -}}
{{- $registry := $image.registry | default $images.registry -}}
{{- $tag := $image.tag | default $images.tag | default .root.Chart.AppVersion -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $tag }}{{ end -}}
{{- end }}

{{/* Namespaces whose Milepost pods get a policy, as a JSON list. */}}
{{- define "milepost.workloadNamespaces" -}}
{{- $named := .Values.networkPolicy.workloadNamespaces | default .Values.watch.namespaces -}}
{{- toJson ($named | default (list .Release.Namespace)) -}}
{{- end }}

{{- define "milepost.dnsEgress" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{- define "milepost.apiServerEgress" -}}
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end }}

{{- define "milepost.workloadSelector" -}}
matchLabels:
  app.kubernetes.io/name: milepost
  app.kubernetes.io/managed-by: milepost-operator
{{- end }}

{{/* To where spans are sent, if they are. */}}
{{- define "milepost.collectorEgress" -}}
{{- with .Values.workloads.otlpEndpoint -}}
{{- $address := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $address.host) -}}
- ports:
    - {protocol: TCP, port: {{ $port | default (ternary 443 80 (eq $address.scheme "https")) }}}
{{- end }}
{{- end }}
