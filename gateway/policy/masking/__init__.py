"""Decision: what a client may not see, hidden in decoded values and in text, the same for the answer and the record.

    masker        the one door: masks of a verdict -> Masker, for a request, an answer, a text
    answer        one answer of the API server, whatever its encoding (with documents, watches)
    request       request bodies: decoded for policy (bodies, yaml_bodies), masked for the record
    accept        what to ask the API server for, so that the answer can be read
    objects       one Kubernetes object and every copy of it that it carries (with field_sets, tables, statuses)
    paths         `spec.containers[*].env[*].value`: parsed, and compiled to a tree of steps
    texts         detectors over the strings of a value
    hiding        one value -> a placeholder of its type
    prefilter     whether bytes can hold anything to hide at all
"""
