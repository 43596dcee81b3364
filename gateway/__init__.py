"""kubetape, the program. Conduct: straight-line async code that pumps translation through decision.

app           the only place where long-lived objects are made and meet
server/       listener (TLS, limits) and connection (bytes -> requests)
exchange      one API call, head to last byte: the heart; tunnel: one upgraded connection
identity/     bearer token or certificate -> Principal
policy/       facts -> Verdict (pure)
recorder      the only door to storage for writing
upstream/     kubeconfig -> credentials, connections, pool
keeper        whatever may be slow: index; worker runs the data path; supervisor starts both
cli/          one verb a file; demo/ a stand-in API server and a guided tour
"""
