"""Budgets while calls run: what sessions and grants use, and what happens at a limit. Rules: gateway.policy.budget.

budgets   the door: `check` before a call is forwarded, an account while it runs, `run` every second
account   what one call uses: bytes, events, minutes, objects of its answer
ledger    what was used: in memory at once, in the shared state within a second
freezes   sessions and grants that may do nothing more, until somebody lifts that
"""
