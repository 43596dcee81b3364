"""Standard outlets: the record in formats that others read, sent on from the log.

    logs -> followed_logs -> assembler -> audit_event | ocsf -> file_sink | webhook_sink

`outlet` drives one such line, `runner` all of them. An outlet reads the log like any reader and remembers how
far it has delivered (`cursor`), so a slow or dead receiver loses nothing and holds nothing up: neither calls,
nor other outlets. Delivery is at least once; `auditID` and `stage` name an event for ever, so that a receiver
can tell a repetition. What may hold secrets never leaves (`masking`), and everything that leaves has a bound.
"""
