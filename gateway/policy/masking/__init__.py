"""Decision: what of a text, a stream or an object is hidden, the same for the answer and the record.

masker        the one door: masks of a verdict -> Masker, for a request, an answer, a text
answer        one answer of the API server, whatever its encoding (with documents, watches)
request       request bodies as they are recorded (with bodies, yaml_bodies: decoded, for policy too)
accept        what to ask the API server for, so that the answer can be read
objects       one Kubernetes object and every copy of it that it carries (with field_sets, statuses, tables)
paths         `spec.containers[*].env[*].value`: parsed, and compiled to a tree of steps (walking applies it)
texts         detectors over the strings of a value
hiding        one value -> a placeholder of its type
prefilter     whether bytes can hold anything to hide at all
detectors     a text -> the text with secrets replaced (secret_patterns, secret_checks, private_keys)
stream        the same for bytes that arrive in pieces (key_blocks, open_tails, text_view)
"""
