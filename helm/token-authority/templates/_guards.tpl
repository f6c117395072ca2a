{{/*
What the schema can't say: which values go together. The Deployment includes it, so that nothing
renders where one fails. Each message says what to set.
*/}}
{{- define "token-authority.guards" -}}
{{- $embedded := eq .Values.database.kind "sqlite" -}}
{{- $tls := .Values.tls -}}
{{- if not (or $tls.existingSecret .Values.config.server.plaintext) -}}
{{- fail "Without TLS tokens would cross the network in plain text: set tls.existingSecret. If your network encrypts them (a mesh, say) or you trust it, set config.server.plaintext=true." -}}
{{- end -}}
{{- if and $tls.existingSecret .Values.config.server.plaintext -}}
{{- fail "The port speaks TLS or plain text: leave out config.server.plaintext, or tls.existingSecret." -}}
{{- end -}}
{{- if and (not $tls.existingSecret) (or (omit .Values.config.tls "identities") .Values.config.tls.identities $tls.clientCA.key) -}}
{{- fail "config.tls and tls.clientCA are for TLS: set tls.existingSecret, or leave them out." -}}
{{- end -}}
{{- if and $tls.clientCA.existingSecret (not $tls.clientCA.key) -}}
{{- fail "tls.clientCA.existingSecret has the clients' CA under some key: set tls.clientCA.key." -}}
{{- end -}}
{{- if and (or .Values.config.tls.client_certificates .Values.config.tls.identities) (not $tls.clientCA.key) -}}
{{- fail "Clients show certificates of a CA: set tls.clientCA.key, or leave out config.tls.client_certificates and identities." -}}
{{- end -}}
{{- $known := dict -}}
{{- range $name, $identity := .Values.config.tls.identities -}}
{{- if and (eq $identity.tenant_id "authority") (has "authority:tenant.admin" $identity.scopes) -}}
{{- fail (printf "config.tls.identities.%s: authority:tenant.admin is of one tenant, and authority is none: name its tenant_id, or leave the scope out." $name) -}}
{{- end -}}
{{- $shown := printf "%s" (default $identity.dns_name $identity.spiffe_id) -}}
{{- with get $known $shown -}}
{{- fail (printf "config.tls.identities: %s and %s are both %s: a certificate is of one." . $name $shown) -}}
{{- end -}}
{{- $_ := set $known $shown $name -}}
{{- end -}}
{{- with .Values.test -}}
{{- if and (or .caKey .serverName .clientSecret) (not (and $tls.existingSecret .existingSecret)) -}}
{{- fail "test.caKey, test.serverName and test.clientSecret are for the test that introspects over TLS: set tls.existingSecret and test.existingSecret, or leave them out." -}}
{{- end -}}
{{- if and .enabled $tls.existingSecret .existingSecret (not .caKey) -}}
{{- fail "The test that introspects verifies the server's certificate: set test.caKey, or leave out test.existingSecret." -}}
{{- end -}}
{{- $required := and $tls.clientCA.key (ne (default "required" $.Values.config.tls.client_certificates) "optional") -}}
{{- if and .enabled $required (not .clientSecret) -}}
{{- fail "helm test has no client certificate: set test.clientSecret, or test.enabled=false where clients need one." -}}
{{- end -}}
{{- end -}}
{{- if and $embedded .Values.autoscaling.enabled -}}
{{- fail "SQLite is for one pod: set autoscaling.enabled=false, or database.kind=postgres." -}}
{{- end -}}
{{- if and $embedded (gt (int .Values.replicas) 1) -}}
{{- fail "SQLite is for one pod: set replicas=1, or database.kind=postgres." -}}
{{- end -}}
{{- $single := .Values.config.coherence.single_process -}}
{{- if and $single (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}
{{- fail "config.coherence.single_process is for one pod: set replicas=1 and autoscaling.enabled=false, or leave it out." -}}
{{- end -}}
{{- if and $embedded .Values.database.existingSecret -}}
{{- fail "database.existingSecret is PostgreSQL's URL, but database.kind is sqlite: set database.kind=postgres, or leave the Secret out." -}}
{{- end -}}
{{- if not (or $embedded .Values.database.existingSecret) -}}
{{- fail "PostgreSQL needs database.existingSecret: a Secret that holds the postgres:// URL under the key database.urlKey." -}}
{{- end -}}
{{- if not (or $embedded .Values.keyring.existingSecret) -}}
{{- fail "PostgreSQL needs keyring.existingSecret: a Secret with 0001.key (32 random bytes in base64), because all pods verify each other's tokens." -}}
{{- end -}}
{{- if and .Values.otlp.existingSecret (not .Values.config.telemetry.otlp_endpoint) -}}
{{- fail "otlp.existingSecret has headers for nobody: set config.telemetry.otlp_endpoint, or leave the Secret out." -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas." -}}
{{- end -}}
{{- if eq (int .Values.ports.grpc) (int .Values.ports.ops) -}}
{{- fail "ports.grpc and ports.ops are one port: set two." -}}
{{- end -}}
{{- end }}
