"""What workers and replicas share: requests for approval, votes, uses, grants, revocations, budgets.

Pure:
entries      what can be said, one frozen struct a kind, as JSON
hold_state   one hold, folded         grant_state  one grant, folded
ballot       the votes on one request, counted
revocations  whose access is revoked  ledgers      what of its budget a session has used
view         entries -> what is in force; the decision path asks it and nothing else
voting       who may decide, and whether this vote still counts
claims       what may be said once, and until when an entry matters
Blocking, in threads:
store        the interface: append in one total order, read after a sequence number, claim a key once
sqlite       the store in the data directory      nudge          "look now" between the processes of a host
postgres     the same on a server, for replicas   postgres_link  a connection that fails within seconds
signing      who is believed: trusted gateways of this cluster
memory       what was seen of a database stays in force, whoever deletes it there
news         one look: what is new, verified, and what time it is there
Conduct:
follower     keeps a view fresh (nudge or 200 ms), and says when it is not (10 s: fail closed)
opening      settings -> all of it            settings  the configuration key `state`
clock        time that is never set back
"""
