{{- define "milepost.gatewayName" -}}
{{- include "milepost.fullname" . }}-gateway
{{- end }}

{{/* What selects the gateway's pods; see milepost.selectorLabels. */}}
{{- define "milepost.gatewaySelectorLabels" -}}
app.kubernetes.io/name: milepost
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "milepost.gatewayLabels" -}}
{{- include "milepost.labelsOver" (dict "root" . "selector" "milepost.gatewaySelectorLabels") -}}
{{- end }}

{{/* Labels of the gateway's pods: without versions, so that a new chart alone does not restart them. */}}
{{- define "milepost.gatewayPodLabels" -}}
{{- $own := omit (include "milepost.gatewayLabels" . | fromYaml) "helm.sh/chart" "app.kubernetes.io/version" -}}
{{- toYaml (merge $own .Values.gateway.podLabels) -}}
{{- end }}

{{- define "milepost.gatewaySecretName" -}}
{{- .Values.gateway.token.existingSecret | default (include "milepost.gatewayName" .) -}}
{{- end }}

{{- define "milepost.gatewayNeedsToken" -}}
{{- if or (eq .Values.gateway.write "token") (eq .Values.gateway.read "token") -}}true{{- end -}}
{{- end }}

{{- define "milepost.gatewayEnv" -}}
{{- $gateway := .Values.gateway -}}
- {name: MILEPOST_LISTEN, value: "0.0.0.0:8400"}
- {name: MILEPOST_GATEWAY_DISCOVERY, value: kubernetes}
- {name: MILEPOST_NAMESPACES, value: {{ join "," .Values.watch.namespaces | quote }}}
- {name: MILEPOST_GATEWAY_WRITE, value: {{ $gateway.write }}}
- {name: MILEPOST_GATEWAY_READ, value: {{ $gateway.read }}}
{{- if include "milepost.gatewayNeedsToken" . }}
- {name: MILEPOST_GATEWAY_TOKEN_FILE, value: {{ printf "/etc/milepost/gateway/%s" $gateway.token.key | quote }}}
{{- end }}
- {name: MILEPOST_GATEWAY_PREFIX, value: {{ $gateway.prefix | quote }}}
- {name: MILEPOST_GATEWAY_HOSTS, value: {{ join "," $gateway.hosts | quote }}}
- {name: MILEPOST_GATEWAY_STREAMS, value: {{ $gateway.streams | quote }}}
- {name: MILEPOST_LOG_LEVEL, value: {{ $gateway.log.level }}}
- {name: MILEPOST_LOG_FORMAT, value: {{ $gateway.log.format }}}
{{- with .Values.workloads.otlpEndpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* What the gateway may do: find agents, and nothing else. */}}
{{- define "milepost.gatewayRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [list, watch]
{{- end }}
