"""The REST side of the stand-in.

objects        verbs on objects; bodies reads their requests; watches what streams
kinds          the table of resources; discovery, openapi, openapi_v2 tell clients about them
store          objects and their history; selectors and patching work on plain JSON values
tables         objects as kubectl's human output
protobody      protobuf request bodies as JSON values
reviews        auth can-i and whoami
"""
