"""Direct, `kubectl proxy`, HAProxy and kubetape, measured side by side: `kubetape bench`, `make bench`.

command        the run as a whole: what was asked for -> a Result (the entry)
plan           how much of what is measured
ways           the ways to the API server, started and stopped; haproxy writes and runs its configuration
site           where the work is done: a namespace of our own, its objects, its pod, their end
interleave     A B C D, D C B A: blocks of work in turn, CPU by process
turns, background    whose turn it is; what a way does after it has answered
calls, watches, execs, transfers, kubectl_runs, loads, idle    one kind of work each
stream_client                 a client of exec and port-forward that costs next to nothing
crowd, load_client, start_client    client processes that ask in a closed loop, and what they ask
result         the JSON file (benchmarks/README.md documents it)
figures        medians over runs, what was added over direct, what is noise
table, targets, change, plots    a Result -> text, verdict, comparison, SVG
"""
