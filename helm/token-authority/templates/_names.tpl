{{/* The chart's name. */}}
{{- define "token-authority.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/*
What all names begin with: room is left for the longest ending, `-headless`. A Service's name must
begin with a letter; a release's need not.
*/}}
{{- define "token-authority.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "token-authority.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "token-authority.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "token-authority.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* What selects the server's pods, for as long as the release lives. */}}
{{- define "token-authority.selectorLabels" -}}
app.kubernetes.io/name: {{ include "token-authority.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* Labels of everything but the pods of `helm test`. */}}
{{- define "token-authority.labels" -}}
{{ include "token-authority.selectorLabels" . }}
{{ include "token-authority.metaLabels" . }}
{{- end }}

{{/* Labels that say what made this, and select nothing. */}}
{{- define "token-authority.metaLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the pods of `helm test` are known by: no Service selects them. */}}
{{- define "token-authority.testLabels" -}}
app.kubernetes.io/name: {{ include "token-authority.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- define "token-authority.image" -}}
{{- with .Values.image -}}
{{- .repository }}:{{ default $.Chart.AppVersion .tag }}{{ with .digest }}@{{ . }}{{ end -}}
{{- end -}}
{{- end }}
