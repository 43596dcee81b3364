"""Decision: facts about one call -> Verdict. Pure: no clock, no socket, no Trio, no storage.

model    what a verdict is; decide: the one function that makes it
"""
