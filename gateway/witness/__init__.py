"""Witnesses: asking them for cosignatures, and being one. What is decided and signed is in `storage`.

client    one request to one witness, with its deadline and limits
server    `kubetape witness`: HTTP in front of a state directory, for somebody who is not the log's operator
"""
