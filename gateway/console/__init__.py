"""The management API: what people use to decide. JSON over HTTPS on a port and origin of its own; see docs/approvals.md.

serve        conduct: the listener; one request from its bytes to its answer; starts everything
caller       who asks: identified like on the data port, never by a cookie
context      what handlers meet: long-lived objects, one understood call
rights       pure: who may see, decide, ask for and revoke what
routes       the table: method and path -> handler, with the shapes of both bodies
openapi      pure: the table -> /openapi.json
documents    pure: what an answer holds; the command line reads it with the same structs
words        pure: a call and its approvers in a few words
showing      pure: state -> documents
finding      pure: what stands in a path -> the one thing this person may see
approvals, following, grants, revocations, whoami     one file a resource; bundles are with grants
answers      an answer, and how one is sent
"""
