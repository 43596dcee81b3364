"""Field numbers of who may do what: roles, reviews, tokens, certificates, admission.

Source: k8s.io/api, generated.proto and types.go of each group (1.37 development).
"""

from typing import Final

RBAC: Final = """\
AggregationRule
  1 clusterRoleSelectors*:meta.LabelSelector
ClusterRole
  1 metadata:meta.ObjectMeta, 2 rules*:PolicyRule, 3 aggregationRule:AggregationRule
ClusterRoleBinding
  1 metadata:meta.ObjectMeta, 2 subjects*:Subject, 3 roleRef:RoleRef
PolicyRule
  1 verbs*, 2 apiGroups*, 3 resources*, 4 resourceNames*, 5 nonResourceURLs*
Role
  1 metadata:meta.ObjectMeta, 2 rules*:PolicyRule
RoleBinding
  1 metadata:meta.ObjectMeta, 2 subjects*:Subject, 3 roleRef:RoleRef
RoleRef
  1 apiGroup!, 2 kind!, 3 name!
Subject
  1 kind!, 2 apiGroup, 3 name!, 4 namespace
"""

AUTHENTICATION: Final = """\
BoundObjectReference
  1 kind, 2 apiVersion, 3 name, 4 uid
SelfSubjectReview
  1 metadata:meta.ObjectMeta, 2 status:SelfSubjectReviewStatus
SelfSubjectReviewStatus
  1 userInfo:UserInfo
TokenRequest
  1 metadata:meta.ObjectMeta, 2 spec:TokenRequestSpec, 3 status:TokenRequestStatus
TokenRequestSpec
  1 audiences*, 4 expirationSeconds!:int, 3 boundObjectRef:BoundObjectReference, 5 attestations:{strings}
TokenRequestStatus
  1 token!, 2 expirationTimestamp:time
TokenReview
  1 metadata:meta.ObjectMeta, 2 spec:TokenReviewSpec, 3 status:TokenReviewStatus
TokenReviewSpec
  1 token, 2 audiences*
TokenReviewStatus
  1 authenticated:bool, 2 user:UserInfo, 4 audiences*, 3 error
UserInfo
  1 username, 2 uid, 3 groups*, 4 extra:{strings}
"""

AUTHORIZATION: Final = """\
FieldSelectorAttributes
  1 rawSelector, 2 requirements*:meta.FieldSelectorRequirement
LabelSelectorAttributes
  1 rawSelector, 2 requirements*:meta.LabelSelectorRequirement
LocalSubjectAccessReview
  1 metadata:meta.ObjectMeta, 2 spec:SubjectAccessReviewSpec, 3 status:SubjectAccessReviewStatus
NonResourceAttributes
  1 path, 2 verb
NonResourceRule
  1 verbs*, 2 nonResourceURLs*
ResourceAttributes
  1 namespace, 2 verb, 3 group, 4 version, 5 resource, 6 subresource, 7 name,
  8 fieldSelector:FieldSelectorAttributes, 9 labelSelector:LabelSelectorAttributes
ResourceRule
  1 verbs*, 2 apiGroups*, 3 resources*, 4 resourceNames*
SelfSubjectAccessReview
  1 metadata:meta.ObjectMeta, 2 spec:SelfSubjectAccessReviewSpec, 3 status:SubjectAccessReviewStatus
SelfSubjectAccessReviewSpec
  1 resourceAttributes:ResourceAttributes, 2 nonResourceAttributes:NonResourceAttributes
SelfSubjectRulesReview
  1 metadata:meta.ObjectMeta, 2 spec:SelfSubjectRulesReviewSpec, 3 status:SubjectRulesReviewStatus
SelfSubjectRulesReviewSpec
  1 namespace
SubjectAccessReview
  1 metadata:meta.ObjectMeta, 2 spec:SubjectAccessReviewSpec, 3 status:SubjectAccessReviewStatus
SubjectAccessReviewSpec
  1 resourceAttributes:ResourceAttributes, 2 nonResourceAttributes:NonResourceAttributes, 3 user,
  4 groups*, 5 extra:{strings}, 6 uid
SubjectAccessReviewStatus
  1 allowed!:bool, 4 denied:bool, 2 reason, 3 evaluationError
SubjectRulesReviewStatus
  1 resourceRules*:ResourceRule, 2 nonResourceRules*:NonResourceRule, 3 incomplete!:bool,
  4 evaluationError
"""

CERTIFICATES: Final = """\
CertificateSigningRequest
  1 metadata:meta.ObjectMeta, 2 spec:CertificateSigningRequestSpec,
  3 status:CertificateSigningRequestStatus
CertificateSigningRequestCondition
  1 type!, 6 status!, 2 reason, 3 message, 4 lastUpdateTime:time, 5 lastTransitionTime:time
CertificateSigningRequestSpec
  1 request!:bytes, 7 signerName!, 8 expirationSeconds!:int, 5 usages*, 2 username, 3 uid, 4 groups*,
  6 extra:{strings}
CertificateSigningRequestStatus
  1 conditions*:CertificateSigningRequestCondition, 2 certificate:bytes
ClusterTrustBundle
  1 metadata:meta.ObjectMeta, 2 spec:ClusterTrustBundleSpec
ClusterTrustBundleSpec
  1 signerName, 2 trustBundle!
PodCertificateRequest
  1 metadata:meta.ObjectMeta, 2 spec:PodCertificateRequestSpec, 3 status:PodCertificateRequestStatus
PodCertificateRequestSpec
  1 signerName!, 2 podName!, 3 podUID!, 4 serviceAccountName!, 5 serviceAccountUID!, 6 nodeName!,
  7 nodeUID!, 8 maxExpirationSeconds!:int, 12 stubPKCS10Request!:bytes, 11 unverifiedUserAnnotations:{}
PodCertificateRequestStatus
  1 conditions*:meta.Condition, 2 certificateChain, 4 notBefore:time, 5 beginRefreshAt:time,
  6 notAfter:time
"""

ADMISSION: Final = """\
ApplyConfiguration
  1 expression
AuditAnnotation
  1 key!, 2 valueExpression!
ExpressionWarning
  2 fieldRef!, 3 warning!
JSONPatch
  1 expression
MatchCondition
  1 name!, 2 expression!
MatchResources
  1 namespaceSelector:meta.LabelSelector, 2 objectSelector:meta.LabelSelector,
  3 resourceRules*:NamedRuleWithOperations, 4 excludeResourceRules*:NamedRuleWithOperations,
  7 matchPolicy!
MutatingAdmissionPolicy
  1 metadata:meta.ObjectMeta, 2 spec:MutatingAdmissionPolicySpec
MutatingAdmissionPolicyBinding
  1 metadata:meta.ObjectMeta, 2 spec:MutatingAdmissionPolicyBindingSpec
MutatingAdmissionPolicyBindingSpec
  1 policyName, 2 paramRef:ParamRef, 3 matchResources:MatchResources
MutatingAdmissionPolicySpec
  1 paramKind:ParamKind, 2 matchConstraints:MatchResources, 3 variables*:Variable, 4 mutations*:Mutation,
  5 failurePolicy!, 6 matchConditions*:MatchCondition, 7 reinvocationPolicy
MutatingWebhook
  1 name!, 2 clientConfig:WebhookClientConfig, 3 rules*:RuleWithOperations, 4 failurePolicy!,
  9 matchPolicy!, 5 namespaceSelector:meta.LabelSelector, 11 objectSelector:meta.LabelSelector,
  6 sideEffects!, 7 timeoutSeconds!:int, 8 admissionReviewVersions*, 10 reinvocationPolicy!,
  12 matchConditions*:MatchCondition
MutatingWebhookConfiguration
  1 metadata:meta.ObjectMeta, 2 webhooks*:MutatingWebhook
Mutation
  2 patchType!, 3 applyConfiguration:ApplyConfiguration, 4 jsonPatch:JSONPatch
NamedRuleWithOperations
  1 resourceNames*, 2 ruleWithOperations^:RuleWithOperations
ParamKind
  1 apiVersion, 2 kind
ParamRef
  1 name, 2 namespace, 3 selector:meta.LabelSelector, 4 parameterNotFoundAction!
Rule
  1 apiGroups*, 2 apiVersions*, 3 resources*, 4 scope!
RuleWithOperations
  1 operations*, 2 rule^:Rule
ServiceReference
  1 namespace!, 2 name!, 3 path!, 4 port!:int
TypeChecking
  1 expressionWarnings*:ExpressionWarning
ValidatingAdmissionPolicy
  1 metadata:meta.ObjectMeta, 2 spec:ValidatingAdmissionPolicySpec,
  3 status:ValidatingAdmissionPolicyStatus
ValidatingAdmissionPolicyBinding
  1 metadata:meta.ObjectMeta, 2 spec:ValidatingAdmissionPolicyBindingSpec
ValidatingAdmissionPolicyBindingSpec
  1 policyName, 2 paramRef:ParamRef, 3 matchResources:MatchResources, 4 validationActions*
ValidatingAdmissionPolicySpec
  1 paramKind:ParamKind, 2 matchConstraints:MatchResources, 3 validations*:Validation, 4 failurePolicy!,
  5 auditAnnotations*:AuditAnnotation, 6 matchConditions*:MatchCondition, 7 variables*:Variable
ValidatingAdmissionPolicyStatus
  1 observedGeneration:int, 2 typeChecking:TypeChecking, 3 conditions*:meta.Condition
ValidatingWebhook
  1 name!, 2 clientConfig:WebhookClientConfig, 3 rules*:RuleWithOperations, 4 failurePolicy!,
  9 matchPolicy!, 5 namespaceSelector:meta.LabelSelector, 10 objectSelector:meta.LabelSelector,
  6 sideEffects!, 7 timeoutSeconds!:int, 8 admissionReviewVersions*, 11 matchConditions*:MatchCondition
ValidatingWebhookConfiguration
  1 metadata:meta.ObjectMeta, 2 webhooks*:ValidatingWebhook
Validation
  1 expression!, 2 message, 3 reason!, 4 messageExpression
Variable
  1 name!, 2 expression!
WebhookClientConfig
  3 url!, 1 service:ServiceReference, 2 caBundle:bytes
"""
