{{- define "mooring.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /*
A hook: one Job of the command line, and a service account with rights that are there while it runs and no longer.
Of a dict: context (the chart's), name, events, args (a list), rules (in all namespaces), ownRules (in the release's;
may be absent). Where the Job fails helm prints its log, and it stays.
*/ -}}
{{- define "mooring.hook" -}}
{{- $labels := dict "app.kubernetes.io/name" "mooring" "app.kubernetes.io/component" .name -}}
{{- $name := printf "mooring-%s" .name -}}
{{- $subject := list (dict "kind" "ServiceAccount" "name" $name "namespace" .context.Release.Namespace) -}}
{{- $annotations := dict "helm.sh/hook" .events "helm.sh/hook-weight" "-1" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded,hook-failed" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ .context.Release.Namespace | quote }}
  labels: {{- toYaml $labels | nindent 4 }}
  annotations: {{- toYaml $annotations | nindent 4 }}
{{- with .context.Values.image.pullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}
  labels: {{- toYaml $labels | nindent 4 }}
  annotations: {{- toYaml $annotations | nindent 4 }}
rules:
{{- toYaml .rules | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}
  labels: {{- toYaml $labels | nindent 4 }}
  annotations: {{- toYaml $annotations | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $name }}
subjects:
{{- toYaml $subject | nindent 0 }}
{{- with .ownRules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ $.context.Release.Namespace | quote }}
  labels: {{- toYaml $labels | nindent 4 }}
  annotations: {{- toYaml $annotations | nindent 4 }}
rules:
{{- toYaml . | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ $.context.Release.Namespace | quote }}
  labels: {{- toYaml $labels | nindent 4 }}
  annotations: {{- toYaml $annotations | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
{{- toYaml $subject | nindent 0 }}
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  namespace: {{ .context.Release.Namespace | quote }}
  labels: {{- toYaml $labels | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .events }}
    helm.sh/hook-weight: "0"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-output-log-policy: {{ .logs | default "hook-failed" }}
spec:
  backoffLimit: 0
  template:
    metadata:
      labels: {{- toYaml $labels | nindent 8 }}
    spec:
      serviceAccountName: {{ $name }}
      restartPolicy: Never
      {{- with .context.Values.operator.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .context.Values.operator.tolerations }}
      tolerations:
      {{- toYaml . | nindent 6 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: {{ .name }}
        image: {{ include "mooring.image" .context | quote }}
        imagePullPolicy: {{ .context.Values.image.pullPolicy }}
        args:
        {{- toYaml .args | nindent 8 }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        resources:
          requests: {cpu: 20m, memory: 64Mi}
          limits: {memory: 256Mi}
{{- end }}
