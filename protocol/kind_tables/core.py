"""Field numbers of the other kinds of core/v1.

Source: k8s.io/api, generated.proto and types.go of each group (1.37 development).
"""

from typing import Final

CORE: Final = """\
AttachedVolume
  1 name!, 2 devicePath!
AvoidPods
  1 preferAvoidPods*:PreferAvoidPodsEntry
Binding
  1 metadata:meta.ObjectMeta, 2 target:ObjectReference
ClientIPConfig
  1 timeoutSeconds!:int
ComponentCondition
  1 type!, 2 status!, 3 message, 4 error
ComponentStatus
  1 metadata:meta.ObjectMeta, 2 conditions*:ComponentCondition
ConfigMap
  1 metadata:meta.ObjectMeta, 4 immutable!:bool, 2 data:{}, 3 binaryData:{bytes}
ConfigMapNodeConfigSource
  1 namespace!, 2 name!, 3 uid, 4 resourceVersion, 5 kubeletConfigKey!
ContainerImage
  1 names*, 2 sizeBytes:int
DaemonEndpoint
  1 Port!:int
EndpointAddress
  1 ip!, 3 hostname, 4 nodeName!, 2 targetRef:ObjectReference
EndpointPort
  1 name, 2 port!:int, 3 protocol, 4 appProtocol!
EndpointSubset
  1 addresses*:EndpointAddress, 2 notReadyAddresses*:EndpointAddress, 3 ports*:EndpointPort
Endpoints
  1 metadata:meta.ObjectMeta, 2 subsets*:EndpointSubset
Event
  1 metadata:meta.ObjectMeta, 2 involvedObject:ObjectReference, 3 reason, 4 message, 5 source:EventSource,
  6 firstTimestamp:time, 7 lastTimestamp:time, 8 count:int, 9 type, 10 eventTime:microtime,
  11 series:EventSeries, 12 action, 13 related:ObjectReference, 14 reportingComponent!,
  15 reportingInstance!
EventSeries
  1 count:int, 2 lastObservedTime:microtime
EventSource
  1 component, 2 host
LimitRange
  1 metadata:meta.ObjectMeta, 2 spec:LimitRangeSpec
LimitRangeItem
  1 type!, 2 max:{quantity}, 3 min:{quantity}, 4 default:{quantity}, 5 defaultRequest:{quantity},
  6 maxLimitRequestRatio:{quantity}
LimitRangeSpec
  1 limits*:LimitRangeItem
LoadBalancerIngress
  1 ip, 2 hostname, 3 ipMode!, 4 ports*:PortStatus
LoadBalancerStatus
  1 ingress*:LoadBalancerIngress
ModifyVolumeStatus
  1 targetVolumeAttributesClassName, 2 status!
Namespace
  1 metadata:meta.ObjectMeta, 2 spec:NamespaceSpec, 3 status:NamespaceStatus
NamespaceCondition
  1 type!, 2 status!, 4 lastTransitionTime:time, 5 reason, 6 message
NamespaceSpec
  1 finalizers*
NamespaceStatus
  1 phase, 2 conditions*:NamespaceCondition
Node
  1 metadata:meta.ObjectMeta, 2 spec:NodeSpec, 3 status:NodeStatus
NodeAddress
  1 type!, 2 address!
NodeCondition
  1 type!, 2 status!, 3 lastHeartbeatTime:time, 4 lastTransitionTime:time, 5 reason, 6 message
NodeConfigSource
  2 configMap:ConfigMapNodeConfigSource
NodeConfigStatus
  1 assigned:NodeConfigSource, 2 active:NodeConfigSource, 3 lastKnownGood:NodeConfigSource, 4 error
NodeDaemonEndpoints
  1 kubeletEndpoint:DaemonEndpoint
NodeFeatures
  1 supplementalGroupsPolicy!:bool
NodePodPreemptionPolicy
  1 disableResizePreemption*
NodeProxyOptions
  1 path
NodeRuntimeHandler
  1 name!, 2 features:NodeRuntimeHandlerFeatures
NodeRuntimeHandlerFeatures
  1 recursiveReadOnlyMounts!:bool, 2 userNamespaces!:bool
NodeSpec
  1 podCIDR, 7 podCIDRs*, 3 providerID, 4 unschedulable:bool, 5 taints*:Taint,
  6 configSource:NodeConfigSource, 2 externalID, 8 podPreemptionPolicy:NodePodPreemptionPolicy
NodeStatus
  1 capacity:{quantity}, 2 allocatable:{quantity}, 3 phase, 4 conditions*:NodeCondition,
  5 addresses*:NodeAddress, 6 daemonEndpoints:NodeDaemonEndpoints, 7 nodeInfo:NodeSystemInfo,
  8 images*:ContainerImage, 9 volumesInUse*, 10 volumesAttached*:AttachedVolume,
  11 config:NodeConfigStatus, 12 runtimeHandlers*:NodeRuntimeHandler, 13 features:NodeFeatures,
  14 declaredFeatures*
NodeSwapStatus
  1 capacity!:int
NodeSystemInfo
  1 machineID!, 2 systemUUID!, 3 bootID!, 4 kernelVersion!, 5 osImage!, 6 containerRuntimeVersion!,
  7 kubeletVersion!, 8 kubeProxyVersion!, 9 operatingSystem!, 10 architecture!, 11 swap:NodeSwapStatus
PersistentVolume
  1 metadata:meta.ObjectMeta, 2 spec:PersistentVolumeSpec, 3 status:PersistentVolumeStatus
PersistentVolumeClaim
  1 metadata:meta.ObjectMeta, 2 spec:PersistentVolumeClaimSpec, 3 status:PersistentVolumeClaimStatus
PersistentVolumeClaimCondition
  1 type!, 2 status!, 3 lastProbeTime:time, 4 lastTransitionTime:time, 5 reason, 6 message
PersistentVolumeClaimStatus
  1 phase, 2 accessModes*, 3 capacity:{quantity}, 4 conditions*:PersistentVolumeClaimCondition,
  5 allocatedResources:{quantity}, 7 allocatedResourceStatuses:{}, 8 currentVolumeAttributesClassName!,
  9 modifyVolumeStatus:ModifyVolumeStatus, 10 healthStatus:VolumeHealthStatus
PersistentVolumeStatus
  1 phase, 2 message, 3 reason, 4 lastPhaseTransitionTime:time
PodAttachOptions
  1 stdin:bool, 2 stdout:bool, 3 stderr:bool, 4 tty:bool, 5 container
PodExecOptions
  1 stdin:bool, 2 stdout:bool, 3 stderr:bool, 4 tty:bool, 5 container, 6 command*
PodLogOptions
  1 container, 2 follow:bool, 3 previous:bool, 4 sinceSeconds!:int, 5 sinceTime:time, 6 timestamps:bool,
  7 tailLines!:int, 8 limitBytes!:int, 9 insecureSkipTLSVerifyBackend:bool, 10 stream!
PodPortForwardOptions
  1 ports*:int
PodProxyOptions
  1 path
PodSignature
  1 podController:meta.OwnerReference
PortStatus
  1 port!:int, 2 protocol!, 3 error!
Preconditions
  1 uid!
PreferAvoidPodsEntry
  1 podSignature:PodSignature, 2 evictionTime:time, 3 reason, 4 message
RangeAllocation
  1 metadata:meta.ObjectMeta, 2 range!, 3 data!:bytes
ReplicationController
  1 metadata:meta.ObjectMeta, 2 spec:ReplicationControllerSpec, 3 status:ReplicationControllerStatus
ReplicationControllerCondition
  1 type!, 2 status!, 3 lastTransitionTime:time, 4 reason, 5 message
ReplicationControllerSpec
  1 replicas!:int, 4 minReadySeconds:int, 2 selector:{}, 3 template:PodTemplateSpec
ReplicationControllerStatus
  1 replicas!:int, 2 fullyLabeledReplicas:int, 4 readyReplicas:int, 5 availableReplicas:int,
  3 observedGeneration:int, 6 conditions*:ReplicationControllerCondition
ResourceQuota
  1 metadata:meta.ObjectMeta, 2 spec:ResourceQuotaSpec, 3 status:ResourceQuotaStatus
ResourceQuotaSpec
  1 hard:{quantity}, 2 scopes*, 3 scopeSelector:ScopeSelector
ResourceQuotaStatus
  1 hard:{quantity}, 2 used:{quantity}
ScopeSelector
  1 matchExpressions*:ScopedResourceSelectorRequirement
ScopedResourceSelectorRequirement
  1 scopeName!, 2 operator!, 3 values*
Secret
  1 metadata:meta.ObjectMeta, 5 immutable!:bool, 2 data:{bytes}, 4 stringData:{}, 3 type
SerializedReference
  1 reference:ObjectReference
Service
  1 metadata:meta.ObjectMeta, 2 spec:ServiceSpec, 3 status:ServiceStatus
ServiceAccount
  1 metadata:meta.ObjectMeta, 2 secrets*:ObjectReference, 3 imagePullSecrets*:LocalObjectReference,
  4 automountServiceAccountToken!:bool
ServicePort
  1 name, 2 protocol, 6 appProtocol!, 3 port!:int, 4 targetPort:intstr, 5 nodePort:int
ServiceProxyOptions
  1 path
ServiceSpec
  1 ports*:ServicePort, 2 selector:{}, 3 clusterIP, 18 clusterIPs*, 4 type, 5 externalIPs*,
  7 sessionAffinity, 8 loadBalancerIP, 9 loadBalancerSourceRanges*, 10 externalName,
  11 externalTrafficPolicy, 12 healthCheckNodePort:int, 13 publishNotReadyAddresses:bool,
  14 sessionAffinityConfig:SessionAffinityConfig, 19 ipFamilies*, 17 ipFamilyPolicy!,
  20 allocateLoadBalancerNodePorts!:bool, 21 loadBalancerClass!, 22 internalTrafficPolicy!,
  23 trafficDistribution!
ServiceStatus
  1 loadBalancer:LoadBalancerStatus, 2 conditions*:meta.Condition
SessionAffinityConfig
  1 clientIP:ClientIPConfig
Taint
  1 key!, 2 value, 3 effect!, 4 timeAdded:time
TopologySelectorLabelRequirement
  1 key!, 2 values*
TopologySelectorTerm
  1 matchLabelExpressions*:TopologySelectorLabelRequirement
VolumeHealthStatus
  1 healthConditions*:VolumeHealthCondition, 2 lastTransitionTime:time
"""
