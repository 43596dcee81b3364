"""Field numbers of meta/v1.

Source: k8s.io/apimachinery, pkg/apis/meta/v1 generated.proto and types.go (1.37 development).
"""

from typing import Final

META: Final = """\
Condition
  1 type!, 2 status!, 3 observedGeneration:int, 4 lastTransitionTime:time, 5 reason!, 6 message!
DeleteOptions
  1 gracePeriodSeconds!:int, 2 preconditions:meta.Preconditions, 3 orphanDependents!:bool,
  4 propagationPolicy!, 5 dryRun*, 6 ignoreStoreReadErrorWithClusterBreakingPotential!:bool
FieldSelectorRequirement
  1 key!, 2 operator!, 3 values*
LabelSelector
  1 matchLabels:{}, 2 matchExpressions*:meta.LabelSelectorRequirement
LabelSelectorRequirement
  1 key!, 2 operator!, 3 values*
ManagedFieldsEntry
  1 manager, 2 operation, 3 apiVersion, 4 time:time, 6 fieldsType, 7 fieldsV1:raw, 8 subresource
ObjectMeta
  1 name, 2 generateName, 3 namespace, 4 selfLink, 5 uid, 6 resourceVersion, 7 generation:int,
  8 creationTimestamp:time, 9 deletionTimestamp:time, 10 deletionGracePeriodSeconds!:int, 11 labels:{},
  12 annotations:{}, 13 ownerReferences*:meta.OwnerReference, 14 finalizers*,
  17 managedFields*:meta.ManagedFieldsEntry
OwnerReference
  5 apiVersion!, 1 kind!, 3 name!, 4 uid!, 6 controller!:bool, 7 blockOwnerDeletion!:bool
Preconditions
  1 uid!, 2 resourceVersion!
"""
