"""The way to the API server.

kubeconfig    file -> settings (pure); credentials: what proves us to the cluster, kept fresh
exec_plugin, tls, secret    what credentials are made of
request       Call + Principal -> the request that goes upstream (pure)
response      what of an answer may go to the client (pure)
connection    one HTTP/1.1 connection to the API server (dialing: its TCP); pool: many, prewarmed
"""
