"""What the verbs that ask a gateway's management API share.

access       options and kubeconfig -> where the API is, and the credential for it
client       one HTTPS request and its answer; lines as they come; errors -> exit codes
options      the options every such verb has
request_text one approval, in full, as text for a terminal
waiting      until people decided
tables       the rows of lists
"""
