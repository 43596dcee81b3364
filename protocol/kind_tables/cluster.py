"""Field numbers of networking, storage, scheduling and what controllers keep for themselves.

Source: k8s.io/api, generated.proto and types.go of each group (1.37 development).
"""

from typing import Final

NETWORKING: Final = """\
HTTPIngressPath
  1 path, 3 pathType!, 2 backend:IngressBackend
HTTPIngressRuleValue
  1 paths*:HTTPIngressPath
IPAddress
  1 metadata:meta.ObjectMeta, 2 spec:IPAddressSpec
IPAddressSpec
  1 parentRef:ParentReference
IPBlock
  1 cidr!, 2 except*
Ingress
  1 metadata:meta.ObjectMeta, 2 spec:IngressSpec, 3 status:IngressStatus
IngressBackend
  4 service:IngressServiceBackend, 3 resource:core.TypedLocalObjectReference
IngressClass
  1 metadata:meta.ObjectMeta, 2 spec:IngressClassSpec
IngressClassParametersReference
  1 apiGroup!, 2 kind!, 3 name!, 4 scope!, 5 namespace!
IngressClassSpec
  1 controller, 2 parameters:IngressClassParametersReference
IngressLoadBalancerIngress
  1 ip, 2 hostname, 4 ports*:IngressPortStatus
IngressLoadBalancerStatus
  1 ingress*:IngressLoadBalancerIngress
IngressPortStatus
  1 port!:int, 2 protocol!, 3 error!
IngressRule
  1 host, 2 ingressRuleValue^:IngressRuleValue
IngressRuleValue
  1 http:HTTPIngressRuleValue
IngressServiceBackend
  1 name!, 2 port:ServiceBackendPort
IngressSpec
  4 ingressClassName!, 1 defaultBackend:IngressBackend, 2 tls*:IngressTLS, 3 rules*:IngressRule
IngressStatus
  1 loadBalancer:IngressLoadBalancerStatus
IngressTLS
  1 hosts*, 2 secretName
NetworkPolicy
  1 metadata:meta.ObjectMeta, 2 spec:NetworkPolicySpec
NetworkPolicyEgressRule
  1 ports*:NetworkPolicyPort, 2 to*:NetworkPolicyPeer
NetworkPolicyIngressRule
  1 ports*:NetworkPolicyPort, 2 from*:NetworkPolicyPeer
NetworkPolicyPeer
  1 podSelector:meta.LabelSelector, 2 namespaceSelector:meta.LabelSelector, 3 ipBlock:IPBlock
NetworkPolicyPort
  1 protocol!, 2 port:intstr, 3 endPort!:int
NetworkPolicySpec
  1 podSelector:meta.LabelSelector, 2 ingress*:NetworkPolicyIngressRule,
  3 egress*:NetworkPolicyEgressRule, 4 policyTypes*
ParentReference
  1 group, 2 resource, 3 namespace, 4 name
ServiceBackendPort
  1 name, 2 number:int
ServiceCIDR
  1 metadata:meta.ObjectMeta, 2 spec:ServiceCIDRSpec, 3 status:ServiceCIDRStatus
ServiceCIDRSpec
  1 cidrs*
ServiceCIDRStatus
  1 conditions*:meta.Condition
"""

DISCOVERY: Final = """\
Endpoint
  1 addresses*, 2 conditions:EndpointConditions, 3 hostname!, 4 targetRef:core.ObjectReference,
  5 deprecatedTopology:{}, 6 nodeName!, 7 zone!, 8 hints:EndpointHints
EndpointConditions
  1 ready!:bool, 2 serving!:bool, 3 terminating!:bool
EndpointHints
  1 forZones*:ForZone, 2 forNodes*:ForNode
EndpointPort
  1 name!, 2 protocol!, 3 port!:int, 4 appProtocol!
EndpointSlice
  1 metadata:meta.ObjectMeta, 4 addressType!, 2 endpoints*:Endpoint, 3 ports*:EndpointPort
ForNode
  1 name!
ForZone
  1 name!
"""

COORDINATION: Final = """\
Lease
  1 metadata:meta.ObjectMeta, 2 spec:LeaseSpec
LeaseSpec
  1 holderIdentity!, 2 leaseDurationSeconds!:int, 3 acquireTime:microtime, 4 renewTime:microtime,
  5 leaseTransitions!:int, 6 strategy!, 7 preferredHolder!
"""

EVENTS: Final = """\
Event
  1 metadata:meta.ObjectMeta, 2 eventTime:microtime, 3 series:EventSeries, 4 reportingController,
  5 reportingInstance, 6 action, 7 reason, 8 regarding:core.ObjectReference,
  9 related:core.ObjectReference, 10 note, 11 type, 12 deprecatedSource:core.EventSource,
  13 deprecatedFirstTimestamp:time, 14 deprecatedLastTimestamp:time, 15 deprecatedCount:int
EventSeries
  1 count!:int, 2 lastObservedTime:microtime
"""

SCHEDULING: Final = """\
PriorityClass
  1 metadata:meta.ObjectMeta, 2 value!:int, 3 globalDefault:bool, 4 description, 5 preemptionPolicy!
"""

STORAGE: Final = """\
CSIDriver
  1 metadata:meta.ObjectMeta, 2 spec:CSIDriverSpec
CSIDriverSpec
  1 attachRequired!:bool, 2 podInfoOnMount!:bool, 3 volumeLifecycleModes*, 4 storageCapacity!:bool,
  5 fsGroupPolicy!, 6 tokenRequests*:TokenRequest, 7 requiresRepublish!:bool, 8 seLinuxMount!:bool,
  9 nodeAllocatableUpdatePeriodSeconds!:int, 10 serviceAccountTokenInSecrets!:bool,
  11 preventPodSchedulingIfMissing!:bool
CSINode
  1 metadata:meta.ObjectMeta, 2 spec:CSINodeSpec, 3 status:CSINodeStatus
CSINodeDriver
  1 name!, 2 nodeID!, 3 topologyKeys*, 4 allocatable:VolumeNodeResources
CSINodeSpec
  1 drivers*:CSINodeDriver
CSINodeStatus
  1 storageHealth*:StorageHealth
CSIStorageCapacity
  1 metadata:meta.ObjectMeta, 2 nodeTopology:meta.LabelSelector, 3 storageClassName!, 4 capacity:quantity,
  5 maximumVolumeSize:quantity
StorageClass
  1 metadata:meta.ObjectMeta, 2 provisioner!, 3 parameters:{}, 4 reclaimPolicy!, 5 mountOptions*,
  6 allowVolumeExpansion!:bool, 7 volumeBindingMode!, 8 allowedTopologies*:core.TopologySelectorTerm
StorageHealth
  1 name!, 2 healthConditions*:StorageHealthCondition
StorageHealthCondition
  1 status!, 2 reason!, 3 message, 4 accessMode!, 5 volumeMode!, 6 lastTransitionTime:time
TokenRequest
  1 audience!, 2 expirationSeconds!:int
VolumeAttachment
  1 metadata:meta.ObjectMeta, 2 spec:VolumeAttachmentSpec, 3 status:VolumeAttachmentStatus
VolumeAttachmentSource
  1 persistentVolumeName!, 2 inlineVolumeSpec:core.PersistentVolumeSpec
VolumeAttachmentSpec
  1 attacher!, 2 source:VolumeAttachmentSource, 3 nodeName!
VolumeAttachmentStatus
  1 attached!:bool, 2 attachmentMetadata:{}, 3 attachError:VolumeError, 4 detachError:VolumeError
VolumeAttributesClass
  1 metadata:meta.ObjectMeta, 2 driverName!, 3 parameters:{}
VolumeError
  1 time:time, 2 message, 3 errorCode!:int
VolumeNodeResources
  1 count!:int
"""

NODE: Final = """\
Overhead
  1 podFixed:{quantity}
RuntimeClass
  1 metadata:meta.ObjectMeta, 2 handler!, 3 overhead:Overhead, 4 scheduling:Scheduling
Scheduling
  1 nodeSelector:{}, 2 tolerations*:core.Toleration
"""
