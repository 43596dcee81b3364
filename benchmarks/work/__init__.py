"""How much work one operation costs the gateway, counted instead of timed: the same on a busy machine and an idle one.

__main__     `python -m benchmarks.work`: count, compare with the baseline, show or rewrite it
operations   what is done: calls, watches, keystrokes, streams, each a script of both ends
peers        the two ends, client and API server: real sockets, real TLS, never blocking
lockstep     lets the ends act only when the gateway waits, so that nothing depends on who is faster
recording    the log of the gateway under count: its syncs end only when the gateway waits
counting     what is counted: Python calls, byte codes, builtins, system calls, steps of tasks
baseline     what may not become more: figures, tolerances, the table of what changed
"""
