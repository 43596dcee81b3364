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
    routes         Request -> Reply: where each path goes
    objects        REST verbs on objects; watches their streams
    kinds          the table of resources; discovery and openapi tell clients about them
    store          objects and their history; selectors, patching work on plain JSON values
    tables         objects as kubectl's human output
    protobody      protobuf request bodies as JSON values
    reviews        auth can-i and whoami
    seed           the toy cluster
    podlog         log lines of toy containers
    tunnels        upgrades: negotiation, then exec, attach (`remote`) and port-forward (`forward`)
    shell          the toy shell; commands what it knows; filetree, archive, terminal beneath them
"""
