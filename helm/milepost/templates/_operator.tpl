{{/* Labels of the operator's pod: without versions, so that a new chart alone does not restart it. */}}
{{- define "milepost.podLabels" -}}
{{- $own := omit (include "milepost.labels" . | fromYaml) "helm.sh/chart" "app.kubernetes.io/version" -}}
{{- toYaml (merge $own .Values.operator.podLabels) -}}
{{- end }}

{{- define "milepost.operatorEnv" -}}
{{- $root := . -}}
{{- $env := list -}}
{{- $env = append $env (dict "name" "MILEPOST_NAMESPACES" "value" (join "," .Values.watch.namespaces)) -}}
{{- range $role := list "agent" "model" "rag" "tools" -}}
{{- $image := include "milepost.image" (dict "root" $root "role" $role) -}}
{{- $env = append $env (dict "name" (printf "MILEPOST_IMAGE_%s" (upper $role)) "value" $image) -}}
{{- end -}}
{{- $env = append $env (dict "name" "MILEPOST_IMAGE_PULL_POLICY" "value" .Values.images.pullPolicy) -}}
{{- $env = append $env (dict "name" "MILEPOST_ACCESS_MODE" "value" .Values.workloads.accessMode) -}}
{{- if .Values.workloads.otlpEndpoint -}}
{{- $env = append $env (dict "name" "MILEPOST_OTLP_ENDPOINT" "value" .Values.workloads.otlpEndpoint) -}}
{{- end -}}
{{- with .Values.workloads.huggingFaceEndpoint -}}
{{- $env = append $env (dict "name" "MILEPOST_HUGGING_FACE_ENDPOINT" "value" .) -}}
{{- end -}}
{{- $env = append $env (dict "name" "MILEPOST_CONCURRENCY" "value" (toString .Values.operator.concurrency)) -}}
{{- $env = append $env (dict "name" "MILEPOST_RESYNC_SECONDS" "value" (toString .Values.operator.resyncSeconds)) -}}
{{- $env = append $env (dict "name" "MILEPOST_HEALTH_PORT" "value" "8080") -}}
{{- $env = append $env (dict "name" "MILEPOST_METRICS_PORT" "value" "8081") -}}
{{- $env = append $env (dict "name" "MILEPOST_LOG_LEVEL" "value" .Values.operator.log.level) -}}
{{- $env = append $env (dict "name" "MILEPOST_LOG_FORMAT" "value" .Values.operator.log.format) -}}
{{- $env = append $env (dict "name" "MILEPOST_POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name"))) -}}
{{- $env = append $env (dict "name" "MILEPOST_POD_NAMESPACE" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.namespace"))) -}}
{{- /* Threads that wait for answers would each keep a heap of their own. */ -}}
{{- $env = append $env (dict "name" "MALLOC_ARENA_MAX" "value" "2") -}}
{{- range $index, $entry := .Values.operator.extraEnv -}}
{{- range $env -}}
{{- if eq .name $entry.name -}}
{{- fail (printf "operator.extraEnv[%d].name: %s is set by the chart; allowed: any other name" $index $entry.name) -}}
{{- end -}}
{{- end -}}
{{- $env = append $env $entry -}}
{{- end -}}
{{- toYaml $env -}}
{{- end }}
