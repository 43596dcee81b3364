"""Field numbers, JSON names and types of the kinds that clients send as protobuf. Data; `protocol.kinds` reads it.

A name alone on a line begins a message; below it its fields, `number name`, then:

    !          kept when zero: the JSON form does so too
    *          repeated
    ^          its fields stand where it is (Go's inline)
    :type      int, bool, bytes, a message of the same group, `core.X`, `meta.X`; without it a string
    :{type}    a map from strings
    :quantity :intstr :time :microtime :raw :strings    types whose JSON form differs from their message
    :opaque    alpha types nothing here can read

    meta, core, pod, volumes    meta/v1 and core/v1
    workloads, access, cluster  the other groups
"""
