{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- define "lifeboat.selector" -}}
app.kubernetes.io/name: lifeboat
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lifeboat.labels" -}}
{{ include "lifeboat.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* The reference of an image: dict "image" (repository, tag, digest) "version" (the default tag). */ -}}
{{- define "lifeboat.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .version }}
{{- end -}}
{{- end }}

{{- /* The operator's account as a subject of bindings. */ -}}
{{- define "lifeboat.subject" -}}
- kind: ServiceAccount
  name: lifeboat-operator
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* The rights in the namespaces that are watched: in all, or in each of those named. */ -}}
{{- define "lifeboat.watchRules" -}}
- apiGroups: [lifeboat.dev]
  resources: [backuppolicies, backups, restorejobs]
  verbs: [list, watch]
- apiGroups: [lifeboat.dev]
  resources: [backuppolicies]
  verbs: [get] # whether one is really gone, before its slots are dropped: the cache may be behind
- apiGroups: [lifeboat.dev]
  resources: [backups]
  verbs: [create, get] # get: whose it is that has the name of a slot's
- apiGroups: [lifeboat.dev]
  resources: [restorejobs]
  verbs: [delete] # ttlSecondsAfterFinished
- apiGroups: [lifeboat.dev]
  resources: [backuppolicies/status, backups/status, restorejobs/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
