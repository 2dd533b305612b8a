{{- define "csm.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "csm.selector" -}}
app.kubernetes.io/name: csm
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "csm.labels" -}}
{{ include "csm.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "csm.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "csm.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.database.postgresql.url) -}}
{{- fail "replicas: more than one needs database.postgresql.url, since SQLite is one replica's own" -}}
{{- end -}}
{{- if and .Values.database.postgresql.url (not .Values.database.postgresql.secret) -}}
{{- fail "database.postgresql.secret: the Secret that holds the password is missing; a password in the url would be readable by everybody who may read the ConfigMap" -}}
{{- end -}}
{{- end -}}
