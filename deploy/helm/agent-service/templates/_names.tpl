{{- define "agent-service.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "agent-service.selector" -}}
app.kubernetes.io/name: agent-service
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agent-service.labels" -}}
{{ include "agent-service.selector" . }}
app.kubernetes.io/part-of: agent-service
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}
