"""What workers and replicas share: requests for approval, votes, uses, grants, revocations, budgets.

entries   what can be said, one frozen struct a kind, signed as JSON
store     the interface: append in one total order, read after a sequence number, claim a key once
sqlite    the store in the data directory        postgres   the same on a server, for several replicas
view      pure: entries -> what is in force; the decision path asks it and nothing else
follower  conduct: keeps a view fresh (nudge or 200 ms), and says when it is not (10 s: fail closed)
"""
