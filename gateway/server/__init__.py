"""The client side of the data path: sockets and TLS to requests.

tls         certificates (from files, or made at first start) and the TLS settings
listener    shakes hands, limits; picks HTTP/1.1 or HTTP/2 by ALPN; accepting takes its connections
request     what both versions look like to the exchange
http1, http2    one client connection of each kind; http2_request is one of the many of the second
management  livez and readyz, on a port of their own
"""
