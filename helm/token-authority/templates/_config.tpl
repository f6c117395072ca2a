{{/* Where things are in the server's container. */}}
{{- define "token-authority.configFile" -}}/etc/token-authority/token-authority.toml{{- end }}
{{- define "token-authority.home" -}}/var/lib/token-authority{{- end }}
{{- define "token-authority.secrets" -}}/run/secrets/token-authority{{- end }}

{{/*
The whole configuration as a dictionary: what the values say, and over it what the chart alone
knows. The data directory is below its mount: the server makes it, mode 0700, and a volume's own
root is the group's, too.
*/}}
{{- define "token-authority.config" -}}
{{- $own := dict
  "server" (dict "address" (printf "0.0.0.0:%d" (int .Values.ports.grpc)))
  "database" (dict "directory" (printf "%s/data" (include "token-authority.home" .)))
  "ops" (dict "address" (printf "0.0.0.0:%d" (int .Values.ports.ops)) "exposed" true)
  "keyring" dict
  "telemetry" dict
-}}
{{- if eq .Values.database.kind "postgres" -}}
{{- $_ := set $own.database "url_file" (printf "%s/database/url" (include "token-authority.secrets" .)) -}}
{{- end -}}
{{- with .Values.tls -}}
{{- if .existingSecret -}}
{{- $directory := printf "%s/tls" (include "token-authority.secrets" $) -}}
{{- $_ := set $own "tls" (dict "certificate_file" (printf "%s/tls.crt" $directory) "key_file" (printf "%s/tls.key" $directory)) -}}
{{- if .clientCA.key -}}
{{- $_ := set $own.tls "client_ca_file" (printf "%s/client-ca/ca.crt" (include "token-authority.secrets" $)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.keyring.existingSecret -}}
{{- $_ := set $own.keyring "directory" (printf "%s/keyring" (include "token-authority.secrets" .)) -}}
{{- $_ := set $own.keyring "create" false -}}
{{- end -}}
{{- if .Values.bootstrap.existingSecret -}}
{{- $_ := set $own "bootstrap" (dict "token_file" (printf "%s/bootstrap/token" (include "token-authority.secrets" .))) -}}
{{- end -}}
{{- if .Values.otlp.existingSecret -}}
{{- $_ := set $own.telemetry "otlp_headers_file" (printf "%s/otlp/headers" (include "token-authority.secrets" .)) -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toJson -}}
{{- end }}

{{/*
The configuration as TOML. JSON's numbers, truths, strings and lists are TOML's too; Helm's own
toToml writes whole numbers as fractions, which the server refuses.
*/}}
{{- define "token-authority.toml" -}}
{{- $config := include "token-authority.config" . | fromJson -}}
{{- range $section, $keys := omit $config "trusts" -}}
{{- with omit $keys "identities" }}
[{{ $section }}]
{{- range $key, $value := . }}
{{ $key }} = {{ toRawJson $value }}
{{- end }}
{{- end -}}
{{- end -}}
{{- range $name, $keys := ($config.tls | default dict).identities }}
[tls.identities.{{ $name }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ toRawJson $value }}
{{- end }}
{{- end -}}
{{- range $name, $keys := $config.trusts }}
[trusts.{{ $name }}]
{{- range $key, $value := omit $keys "required_claims" }}
{{ $key }} = {{ toRawJson $value }}
{{- end }}
{{- with $keys.required_claims }}
[trusts.{{ $name }}.required_claims]
{{- range $claim, $text := . }}
{{ toRawJson $claim }} = {{ toRawJson $text }}
{{- end }}
{{- end }}
{{- end -}}
{{- end }}

{{/* How long the server may take to end: draining, calls in flight, traces, and the margin. */}}
{{- define "token-authority.terminationGracePeriodSeconds" -}}
{{- $traces := 0 -}}
{{- with .Values.config.telemetry -}}
{{- if .otlp_endpoint -}}
{{- $traces = default 5 .otlp_timeout_seconds -}}
{{- end -}}
{{- end -}}
{{- with .Values.config.server -}}
{{- add (int .drain_seconds) (int .grace_seconds) (int $traces) (int $.Values.terminationMarginSeconds) -}}
{{- end -}}
{{- end }}
