{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name when it says what it is, else the release and the chart. */}}
{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "sluice.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sluice.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sluice.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels by which the Deployment finds its Pods: they must never change. */}}
{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{- if eq (default "helm" .Values.creator) "helm" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ end -}}
{{ include "sluice.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.additionalLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A map as key=value,…, sorted by key. */}}
{{- define "sluice.pairs" -}}
{{- $pairs := list -}}
{{- range $key := keys . | sortAlpha -}}
{{- $pairs = append $pairs (printf "%s=%v" $key (get $ $key)) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* One argument for each value that is set, as the flag's name in the first list's order. */}}
{{- define "sluice.args" -}}
- controller
- {{ required "clusterName is missing: set it to the name of the cluster, which is in the names and tags of everything in AWS" .Values.clusterName | toString | trim | printf "--cluster-name=%s" | quote }}
{{- $v := .Values -}}
{{- range $flag, $value := dict
  "ingress-class" $v.ingressClass
  "aws-region" (tpl (default "" $v.region) .)
  "aws-vpc-id" (tpl (default "" $v.vpcId) .)
  "aws-max-retries" $v.awsMaxRetries
  "log-level" $v.logLevel
  "default-target-type" $v.defaultTargetType
  "default-load-balancer-scheme" $v.defaultLoadBalancerScheme
  "default-ssl-policy" $v.defaultSSLPolicy
  "load-balancer-class" $v.loadBalancerClass
  "backend-security-group" $v.backendSecurityGroup
  "max-targets-per-target-group" $v.maxTargetsPerTargetGroup
  "targetgroupbinding-max-concurrent-reconciles" $v.targetgroupbindingMaxConcurrentReconciles
  "targetgroupbinding-max-exponential-backoff-delay" $v.targetgroupbindingMaxExponentialBackoffDelay
  "targetgroupbinding-requeue-duration" $v.targetgroupbindingRequeueDuration
  "service-max-concurrent-reconciles" $v.serviceMaxConcurrentReconciles
  "ingress-max-concurrent-reconciles" $v.ingressMaxConcurrentReconciles
  "alb-gateway-max-concurrent-reconciles" $v.albGatewayMaxConcurrentReconciles
  "nlb-gateway-max-concurrent-reconciles" $v.nlbGatewayMaxConcurrentReconciles
  "globalaccelerator-max-concurrent-reconciles" $v.globalAcceleratorMaxConcurrentReconciles
  "globalaccelerator-max-exponential-backoff-delay" $v.globalAcceleratorMaxExponentialBackoffDelay
  "lb-stabilization-monitor-interval" $v.lbStabilizationMonitorInterval
  "sync-period" $v.syncPeriod
  "watch-namespace" $v.watchNamespace
  "metrics-bind-address" $v.metricsBindAddr
  "webhook-bind-port" $v.webhookBindPort
  "default-pca-arn" $v.certManagement.defaultPCAARN
}}
{{- if and (ne (toString $value) "") (not (kindIs "invalid" $value)) }}
- {{ printf "--%s=%v" $flag (kindIs "float64" $value | ternary (int64 $value) $value) | quote }}
{{- end }}
{{- end }}
{{- range $flag, $value := dict
  "enable-backend-security-group" $v.enableBackendSecurityGroup
  "enable-manage-backend-security-group-rules" $v.enableManageBackendSecurityGroupRules
  "disable-restricted-sg-rules" $v.disableRestrictedSecurityGroupRules
  "enable-endpoint-slices" $v.enableEndpointSlices
  "disable-ingress-class-annotation" $v.disableIngressClassAnnotation
  "disable-ingress-group-name-annotation" $v.disableIngressGroupNameAnnotation
  "tolerate-non-existent-backend-service" $v.tolerateNonExistentBackendService
  "tolerate-non-existent-backend-action" $v.tolerateNonExistentBackendAction
  "enable-shield" $v.enableShield
  "enable-waf" $v.enableWaf
  "enable-wafv2" $v.enableWafv2
  "enable-pod-readiness-gate-inject" $v.enablePodReadinessGateInject
}}
{{- if kindIs "bool" $value }}
- {{ printf "--%s=%v" $flag $value | quote }}
{{- end }}
{{- end }}
{{- range $flag, $value := dict
  "default-tags" $v.defaultTags
  "aws-vpc-tags" $v.vpcTags
  "aws-api-endpoints" $v.awsApiEndpoints
  "service-target-eni-security-group-tags" $v.serviceTargetENISGTags
  "feature-gates" $v.controllerConfig.featureGates
}}
{{- if and $value (kindIs "map" $value) }}
- {{ printf "--%s=%s" $flag (include "sluice.pairs" $value) | quote }}
{{- else if $value }}
- {{ printf "--%s=%v" $flag $value | quote }}
{{- end }}
{{- end }}
{{- range $flag, $value := dict
  "external-managed-tags" $v.externalManagedTags
  "aws-api-throttle" $v.awsApiThrottle
  "allowed-certificate-authority-arns" $v.certDiscovery.allowedCertificateAuthorityARNs
}}
{{- if kindIs "slice" $value }}
{{- if $value }}
- {{ printf "--%s=%s" $flag (join "," $value) | quote }}
{{- end }}
{{- else if $value }}
- {{ printf "--%s=%v" $flag $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The port of --metrics-bind-addr. */}}
{{- define "sluice.metricsPort" -}}
{{- $address := toString (default ":8080" .Values.metricsBindAddr) -}}
{{- last (splitList ":" $address) -}}
{{- end -}}
