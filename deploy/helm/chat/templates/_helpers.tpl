{{/* The image of gateway, worker and chatctl. */}}
{{- define "chat.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The files of deploy/nginx. */}}
{{- define "chat.nginxFiles" -}}
nginx.conf: |
  {{- .Files.Get "files/nginx.conf" | nindent 2 }}
nginx.sh: |
  {{- .Files.Get "files/nginx.sh" | nindent 2 }}
{{- end }}

{{/* Where pods may run; of a dictionary with `root` and `pod`. */}}
{{- define "chat.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* By which the Prometheus operator finds monitors and rules. */}}
{{- define "chat.monitoringLabels" -}}
app.kubernetes.io/part-of: chat
{{- with .Values.monitoring.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The key of the Secret that holds the encryption key, or the list of them. */}}
{{- define "chat.keys" -}}
encryption_key{{ if .Values.secrets.encryptionKeys }}s{{ end }}
{{- end }}
