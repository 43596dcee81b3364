"""kubetape, the program. Conduct: straight-line async code that pumps translation through decision.

app           the only place where long-lived objects are made and meet (services: what an exchange gets); before it
              preparation (settings that were checked), beside it data_path (serve, drain, end) and health (checks, figures)
server/       listener (TLS, limits) and connections (bytes -> requests); lingering: those that were ended
exchange      one API call, head to last byte: the heart. Before it admission (judgement: what rules look at), the gate
              (holds, budgets); beside it upload (large bodies), asking and answer (the way up), answer_masking (the
              way down), own_answers, ending and farewell (when it goes wrong)
holds         a call that waits for people: hold_opening, hold_request, preview (dry run), deciding (a vote)
tunnel        one upgraded connection: tunnel_opening answers its client, tunnel_pumps carry it, tunnel_guard watches
              it (typed_guard, copy_guard, port_guard), tunnel_record writes it down, tunnel_ending ends it;
              held_tunnel: one that waits for people behind its own 101
identity/     bearer token or certificate -> Principal; sessions: which session a call belongs to
policy/       facts -> Verdict (pure); evidence: facts -> Intent (pure), with request_headers: what of a client's headers goes
              where (pure); durability: what waits (pure)
state/        what workers and replicas share: holds, grants, revocations, budgets; decision_parts ties it all together
console/      the management API; notify/: webhooks and Slack
recorder      the only door to storage for writing (durable_wait: who waits for the disk); tape: one exchange's way through it
upstream/     kubeconfig -> credentials, connections, pool
live          exchanges under way, so that any can be ended with a reason; revocations: whose access ended, when
budgets/      what sessions and grants use, and what happens at a limit
denial        a Verdict in words: the Status of a refused call (pure); client_warnings: Warning headers (pure);
              decision_counts: both, counted, for metrics
self_review   `auth can-i` and `auth whoami`, answered for the person (self_review_answers: its JSON)
supervisor    signals; shutdown: what they begin; keeper: the index, in a process of its own (backoff: when it is tried
              again); journal: what the operator reads
fleet         a gateway of several processes: slot (one place, and who fills it), child (one process, as seen from outside),
              shared_ports; from inside worker_process, worker_reports; shared_sessions on a session_registry,
              which like state/ keeps its file as a shared_database (one connection, many threads)
config        settings from YAML and flags; first_user: observe mode's token and kubeconfig
cli/          one verb a file; demo/ a stand-in API server and a guided tour
"""
