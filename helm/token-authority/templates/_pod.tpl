{{/* Security of a pod, by the restricted profile of the pod security standards. */}}
{{- define "token-authority.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser }}
runAsGroup: {{ .Values.runAsUser }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Security of a container, by the same. */}}
{{- define "token-authority.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* All that migrating takes on PostgreSQL: the configuration, the URL, whom to tell; and no key. */}}
{{- define "token-authority.databaseMounts" -}}
- name: config
  mountPath: /etc/token-authority
  readOnly: true
{{- if eq .Values.database.kind "postgres" }}
- name: database
  mountPath: {{ include "token-authority.secrets" . }}/database
  readOnly: true
{{- end }}
{{- if .Values.otlp.existingSecret }}
- name: otlp
  mountPath: {{ include "token-authority.secrets" . }}/otlp
  readOnly: true
{{- end }}
{{- end }}

{{/*
Where the server finds its files. Secrets are mounted whole, not by subPath: a new key reaches the pod
without a restart.
*/}}
{{- define "token-authority.volumeMounts" -}}
{{ include "token-authority.databaseMounts" . }}
- name: data
  mountPath: {{ include "token-authority.home" . }}
{{- if eq .Values.database.kind "sqlite" }}
- name: tmp
  mountPath: /tmp
{{- end }}
{{- with .Values.tls }}
{{- if .existingSecret }}
- name: tls
  mountPath: {{ include "token-authority.secrets" $ }}/tls
  readOnly: true
{{- end }}
{{- if .clientCA.key }}
- name: client-ca
  mountPath: {{ include "token-authority.secrets" $ }}/client-ca
  readOnly: true
{{- end }}
{{- end }}
{{- if .Values.keyring.existingSecret }}
- name: keyring
  mountPath: {{ include "token-authority.secrets" . }}/keyring
  readOnly: true
{{- end }}
{{- if .Values.bootstrap.existingSecret }}
- name: bootstrap
  mountPath: {{ include "token-authority.secrets" . }}/bootstrap
  readOnly: true
{{- end }}
{{- end }}

{{/*
What is mounted. Files of Secrets are root's, mode 0400; the kubelet lets the pod's group (fsGroup)
read them, too, and nobody else: the server's user is not root.
*/}}
{{- define "token-authority.volumes" -}}
- name: config
  configMap:
    name: {{ include "token-authority.fullname" . }}
{{- if eq .Values.database.kind "postgres" }}
# For an operator's token alone, mode 0600, in memory: the first, or one that `bootstrap` makes.
- name: data
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
- name: database
  secret:
    secretName: {{ .Values.database.existingSecret }}
    defaultMode: 0400
    items:
      - key: {{ .Values.database.urlKey }}
        path: url
{{- else }}
- name: data
  persistentVolumeClaim:
    claimName: {{ default (include "token-authority.fullname" .) .Values.persistence.existingClaim }}
# SQLite sorts what is large in a file.
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- end }}
{{- with .Values.tls }}
{{- if .existingSecret }}
- name: tls
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0400
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- if .clientCA.key }}
- name: client-ca
  secret:
    secretName: {{ default .existingSecret .clientCA.existingSecret }}
    defaultMode: 0400
    items:
      - key: {{ .clientCA.key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with .Values.keyring.existingSecret }}
- name: keyring
  secret:
    secretName: {{ . }}
    defaultMode: 0400
{{- end }}
{{- with .Values.bootstrap.existingSecret }}
- name: bootstrap
  secret:
    secretName: {{ . }}
    defaultMode: 0400
    # It is needed once, and may be gone after that.
    optional: true
    items:
      - key: {{ $.Values.bootstrap.tokenKey }}
        path: token
{{- end }}
{{- with .Values.otlp.existingSecret }}
- name: otlp
  secret:
    secretName: {{ . }}
    defaultMode: 0400
    items:
      - key: {{ $.Values.otlp.headersKey }}
        path: headers
{{- end }}
{{- end }}

{{/* The environment, of the server's container and of the one that migrates. */}}
{{- define "token-authority.environment" -}}
{{- if or .Values.config.telemetry.otlp_endpoint .Values.extraEnv }}
env:
  {{- if .Values.config.telemetry.otlp_endpoint }}
  # Which pod a trace came by.
  - name: TOKEN_AUTHORITY_TELEMETRY__SERVICE_INSTANCE
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Over zones and nodes, as far as possible: that a pod waits helps nobody. */}}
{{- define "token-authority.topologySpreadConstraints" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "token-authority.selectorLabels" $ | nindent 6 }}
  # Among the pods of one version: those that are about to end don't count.
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
