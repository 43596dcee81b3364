"""A stand-in API server, not Kubernetes: enough of one for real clients to be run against.

It speaks to kubectl, the Python and the Node client over real TLS and HTTP/1.1, keeps objects in
memory, and answers exec, attach and port-forward with a toy shell that never starts a process. It
has no scheduler, no controllers, no admission and no RBAC: a known identity may do everything.

It is a peer of the gateway, so it shares none of the gateway's HTTP code: h11 parses requests here,
and request targets are read by `target`, leniently, as kube-apiserver does. Only the frames inside
upgraded connections come from `protocol`.

    settings       what it may be told; identities, certificates, kubeconfigs
    server         listener and HTTP/1.1 connections: the entry, `serve_standin`
    seen           the record of everything that came and went (DIR/seen.jsonl)
    target         method + target -> what is asked for
    replies        what a handler answers; Status errors
    cluster        what handlers share; seed the toy cluster it begins with
    routes         Request -> Reply: where each path goes; api/ answers
    tunnels        upgrades: negotiation; wire pumps one
    remote         exec and attach on a toy pod (pod/); forward its ports
"""
