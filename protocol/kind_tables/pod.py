"""Field numbers of Pod and of what a pod template holds.

Source: k8s.io/api, generated.proto and types.go of each group (1.37 development).
"""

from typing import Final

POD: Final = """\
Affinity
  1 nodeAffinity:NodeAffinity, 2 podAffinity:PodAffinity, 3 podAntiAffinity:PodAntiAffinity
AppArmorProfile
  1 type!, 2 localhostProfile!
Capabilities
  1 add*, 2 drop*
ConfigMapEnvSource
  1 localObjectReference^:LocalObjectReference, 2 optional!:bool
ConfigMapKeySelector
  1 localObjectReference^:LocalObjectReference, 2 key!, 3 optional!:bool
Container
  1 name!, 2 image, 3 command*, 4 args*, 5 workingDir, 6 ports*:ContainerPort, 19 envFrom*:EnvFromSource,
  7 env*:EnvVar, 8 resources:ResourceRequirements, 23 resizePolicy*:ContainerResizePolicy,
  24 restartPolicy!, 25 restartPolicyRules*:ContainerRestartRule, 9 volumeMounts*:VolumeMount,
  21 volumeDevices*:VolumeDevice, 10 livenessProbe:Probe, 11 readinessProbe:Probe, 22 startupProbe:Probe,
  12 lifecycle:Lifecycle, 13 terminationMessagePath, 20 terminationMessagePolicy, 14 imagePullPolicy,
  15 securityContext:SecurityContext, 16 stdin:bool, 17 stdinOnce:bool, 18 tty:bool
ContainerExtendedResourceRequest
  1 containerName!, 2 resourceName!, 3 requestName!
ContainerPort
  1 name, 2 hostPort:int, 3 containerPort!:int, 4 protocol, 5 hostIP
ContainerResizePolicy
  1 resourceName!, 2 restartPolicy!
ContainerRestartRule
  1 action, 2 exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes
  1 operator, 2 values*:int
ContainerState
  1 waiting:ContainerStateWaiting, 2 running:ContainerStateRunning, 3 terminated:ContainerStateTerminated
ContainerStateRunning
  1 startedAt:time
ContainerStateTerminated
  1 exitCode!:int, 2 signal:int, 3 reason, 4 message, 5 startedAt:time, 6 finishedAt:time, 7 containerID
ContainerStateWaiting
  1 reason, 2 message
ContainerStatus
  1 name!, 2 state:ContainerState, 3 lastState:ContainerState, 4 ready!:bool, 5 restartCount!:int,
  6 image!, 7 imageID!, 8 containerID, 9 started!:bool, 10 allocatedResources:{quantity},
  11 resources:ResourceRequirements, 12 volumeMounts*:VolumeMountStatus, 13 user:ContainerUser,
  14 allocatedResourcesStatus*:ResourceStatus, 15 stopSignal!
ContainerUser
  1 linux:LinuxContainerUser
EnvFromSource
  1 prefix, 2 configMapRef:ConfigMapEnvSource, 3 secretRef:SecretEnvSource
EnvVar
  1 name!, 2 value, 3 valueFrom:EnvVarSource
EnvVarSource
  1 fieldRef:ObjectFieldSelector, 2 resourceFieldRef:ResourceFieldSelector,
  3 configMapKeyRef:ConfigMapKeySelector, 4 secretKeyRef:SecretKeySelector, 5 fileKeyRef:FileKeySelector
EphemeralContainer
  1 ephemeralContainerCommon^:EphemeralContainerCommon, 2 targetContainerName
EphemeralContainerCommon
  1 name!, 2 image, 3 command*, 4 args*, 5 workingDir, 6 ports*:ContainerPort, 19 envFrom*:EnvFromSource,
  7 env*:EnvVar, 8 resources:ResourceRequirements, 23 resizePolicy*:ContainerResizePolicy,
  24 restartPolicy!, 25 restartPolicyRules*:ContainerRestartRule, 9 volumeMounts*:VolumeMount,
  21 volumeDevices*:VolumeDevice, 10 livenessProbe:Probe, 11 readinessProbe:Probe, 22 startupProbe:Probe,
  12 lifecycle:Lifecycle, 13 terminationMessagePath, 20 terminationMessagePolicy, 14 imagePullPolicy,
  15 securityContext:SecurityContext, 16 stdin:bool, 17 stdinOnce:bool, 18 tty:bool
EvictionResponder
  1 name!, 2 priority!:int
ExecAction
  1 command*
FileKeySelector
  1 volumeName!, 2 path!, 3 key!, 4 optional!:bool
GRPCAction
  1 port!:int, 2 service!, 3 mode!
HTTPGetAction
  1 path, 2 port:intstr, 3 host, 4 scheme, 5 httpHeaders*:HTTPHeader, 6 protocol!
HTTPHeader
  1 name!, 2 value!
HostAlias
  1 ip!, 2 hostnames*
HostIP
  1 ip!
ImageVolumeStatus
  1 imageRef
Lifecycle
  1 postStart:LifecycleHandler, 2 preStop:LifecycleHandler, 3 stopSignal!
LifecycleHandler
  1 exec:ExecAction, 2 httpGet:HTTPGetAction, 3 tcpSocket:TCPSocketAction, 4 sleep:SleepAction
LinuxContainerUser
  1 uid!:int, 2 gid!:int, 3 supplementalGroups*:int
NodeAffinity
  1 requiredDuringSchedulingIgnoredDuringExecution:NodeSelector,
  2 preferredDuringSchedulingIgnoredDuringExecution*:PreferredSchedulingTerm
NodeAllocatableMappedResources
  1 name!, 2 quantity:quantity
NodeAllocatableOverheadResources
  1 name!, 2 perPod:quantity, 3 perContainer:quantity
NodeAllocatableResourceClaimStatus
  1 resourceClaimName!, 2 containers*, 4 mapping*:NodeAllocatableMappedResources,
  5 overhead*:NodeAllocatableOverheadResources
Pod
  1 metadata:meta.ObjectMeta, 2 spec:PodSpec, 3 status:PodStatus
PodAffinity
  1 requiredDuringSchedulingIgnoredDuringExecution*:PodAffinityTerm,
  2 preferredDuringSchedulingIgnoredDuringExecution*:WeightedPodAffinityTerm
PodAffinityTerm
  1 labelSelector:meta.LabelSelector, 2 namespaces*, 3 topologyKey!,
  4 namespaceSelector:meta.LabelSelector, 5 matchLabelKeys*, 6 mismatchLabelKeys*
PodAntiAffinity
  1 requiredDuringSchedulingIgnoredDuringExecution*:PodAffinityTerm,
  2 preferredDuringSchedulingIgnoredDuringExecution*:WeightedPodAffinityTerm
PodCondition
  1 type!, 7 observedGeneration:int, 2 status!, 3 lastProbeTime:time, 4 lastTransitionTime:time, 5 reason,
  6 message
PodDNSConfig
  1 nameservers*, 2 searches*, 3 options*:PodDNSConfigOption
PodDNSConfigOption
  1 name, 2 value!
PodExtendedResourceClaimStatus
  1 requestMappings*:ContainerExtendedResourceRequest, 2 resourceClaimName!
PodIP
  1 ip!
PodOS
  1 name!
PodReadinessGate
  1 conditionType!
PodResourceClaim
  1 name!, 3 resourceClaimName!, 4 resourceClaimTemplateName!
PodResourceClaimStatus
  1 name!, 2 resourceClaimName!
PodSchedulingGate
  1 name!
PodSchedulingGroup
  1 podGroupName!
PodSecurityContext
  1 seLinuxOptions:SELinuxOptions, 8 windowsOptions:WindowsSecurityContextOptions, 2 runAsUser!:int,
  6 runAsGroup!:int, 3 runAsNonRoot!:bool, 4 supplementalGroups*:int, 12 supplementalGroupsPolicy!,
  5 fsGroup!:int, 7 sysctls*:Sysctl, 9 fsGroupChangePolicy!, 10 seccompProfile:SeccompProfile,
  11 appArmorProfile:AppArmorProfile, 13 seLinuxChangePolicy!
PodSpec
  1 volumes*:Volume, 20 initContainers*:Container, 2 containers*:Container,
  34 ephemeralContainers*:EphemeralContainer, 3 restartPolicy, 4 terminationGracePeriodSeconds!:int,
  5 activeDeadlineSeconds!:int, 6 dnsPolicy, 7 nodeSelector:{}, 8 serviceAccountName, 9 serviceAccount,
  21 automountServiceAccountToken!:bool, 10 nodeName, 11 hostNetwork:bool, 12 hostPID:bool,
  13 hostIPC:bool, 27 shareProcessNamespace!:bool, 14 securityContext:PodSecurityContext,
  15 imagePullSecrets*:LocalObjectReference, 16 hostname, 17 subdomain, 18 affinity:Affinity,
  19 schedulerName, 22 tolerations*:Toleration, 23 hostAliases*:HostAlias, 24 priorityClassName,
  25 priority!:int, 26 dnsConfig:PodDNSConfig, 28 readinessGates*:PodReadinessGate, 29 runtimeClassName!,
  30 enableServiceLinks!:bool, 31 preemptionPolicy!, 32 overhead:{quantity},
  33 topologySpreadConstraints*:TopologySpreadConstraint, 35 setHostnameAsFQDN!:bool, 36 os:PodOS,
  37 hostUsers!:bool, 38 schedulingGates*:PodSchedulingGate, 39 resourceClaims*:PodResourceClaim,
  40 resources:ResourceRequirements, 41 hostnameOverride!, 43 schedulingGroup:PodSchedulingGroup,
  44 evictionResponders*:EvictionResponder
PodStatus
  17 observedGeneration:int, 1 phase, 2 conditions*:PodCondition, 3 message, 4 reason,
  11 nominatedNodeName, 5 hostIP, 16 hostIPs*:HostIP, 6 podIP, 12 podIPs*:PodIP, 7 startTime:time,
  10 initContainerStatuses*:ContainerStatus, 8 containerStatuses*:ContainerStatus, 9 qosClass,
  13 ephemeralContainerStatuses*:ContainerStatus, 14 resize,
  15 resourceClaimStatuses*:PodResourceClaimStatus,
  18 extendedResourceClaimStatus:PodExtendedResourceClaimStatus, 19 allocatedResources:{quantity},
  20 resources:ResourceRequirements,
  21 nodeAllocatableResourceClaimStatuses*:NodeAllocatableResourceClaimStatus,
  22 volumeHealth*:PodVolumeHealth
PodTemplate
  1 metadata:meta.ObjectMeta, 2 template:PodTemplateSpec
PodTemplateSpec
  1 metadata:meta.ObjectMeta, 2 spec:PodSpec
PodVolumeHealth
  1 name!, 2 healthConditions*:VolumeHealthCondition, 3 lastTransitionTime:time
PreferredSchedulingTerm
  1 weight!:int, 2 preference:NodeSelectorTerm
Probe
  1 handler^:ProbeHandler, 2 initialDelaySeconds:int, 3 timeoutSeconds:int, 4 periodSeconds:int,
  5 successThreshold:int, 6 failureThreshold:int, 7 terminationGracePeriodSeconds!:int
ProbeHandler
  1 exec:ExecAction, 2 httpGet:HTTPGetAction, 3 tcpSocket:TCPSocketAction, 4 grpc:GRPCAction
ResourceClaim
  1 name!, 2 request
ResourceHealth
  1 resourceID!, 2 health, 6 message!
ResourceRequirements
  1 limits:{quantity}, 2 requests:{quantity}, 3 claims*:ResourceClaim
ResourceStatus
  1 name!, 2 resources*:ResourceHealth
SELinuxOptions
  1 user, 2 role, 3 type, 4 level
SeccompProfile
  1 type!, 2 localhostProfile!
SecretEnvSource
  1 localObjectReference^:LocalObjectReference, 2 optional!:bool
SecretKeySelector
  1 localObjectReference^:LocalObjectReference, 2 key!, 3 optional!:bool
SecurityContext
  1 capabilities:Capabilities, 2 privileged!:bool, 3 seLinuxOptions:SELinuxOptions,
  10 windowsOptions:WindowsSecurityContextOptions, 4 runAsUser!:int, 8 runAsGroup!:int,
  5 runAsNonRoot!:bool, 6 readOnlyRootFilesystem!:bool, 7 allowPrivilegeEscalation!:bool, 9 procMount!,
  11 seccompProfile:SeccompProfile, 12 appArmorProfile:AppArmorProfile
SleepAction
  1 seconds!:int
Sysctl
  1 name!, 2 value!
TCPSocketAction
  1 port:intstr, 2 host
Toleration
  1 key, 2 operator, 3 value, 4 effect, 5 tolerationSeconds!:int
TopologySpreadConstraint
  1 maxSkew!:int, 2 topologyKey!, 3 whenUnsatisfiable!, 4 labelSelector:meta.LabelSelector,
  5 minDomains!:int, 6 nodeAffinityPolicy!, 7 nodeTaintsPolicy!, 8 matchLabelKeys*
Volume
  1 name!, 2 volumeSource^:VolumeSource
VolumeDevice
  1 name!, 2 devicePath!
VolumeHealthCondition
  1 status!, 2 reason!, 3 message
VolumeMount
  1 name!, 2 readOnly:bool, 7 recursiveReadOnly!, 3 mountPath!, 4 subPath, 5 mountPropagation!,
  6 subPathExpr, 8 bindMountOptions*
VolumeMountStatus
  1 name!, 2 mountPath!, 3 readOnly:bool, 4 recursiveReadOnly!, 5 volumeStatus:VolumeStatus
VolumeStatus
  1 image:ImageVolumeStatus
WeightedPodAffinityTerm
  1 weight!:int, 2 podAffinityTerm:PodAffinityTerm
WindowsSecurityContextOptions
  1 gmsaCredentialSpecName!, 2 gmsaCredentialSpec!, 3 runAsUserName!, 4 hostProcess!:bool
"""
