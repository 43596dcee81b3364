"""Who asks: exactly one credential -> Principal, or nobody gets in.

    authenticate   the door: which credential a request carries, the cache of verified ones
    settings       what the operator decided: issuers, client CA, token file (frozen structs)
    errors         Unauthenticated: the one way to be turned away
    predecode      token bytes -> header and payload, stricter than any JWT library (pure)
    jwks           a JWK Set -> the keys we accept, each bound to one algorithm (pure)
    verify         signature check: PyJWT, one key, one algorithm (pure)
    claims         verified payload + settings -> Principal (pure)
    names          what may be a user or group name (pure)
    certificates   verified client certificate -> Principal (pure)
    keys           the keys of one issuer, fetched and kept fresh (conduct)
    tokens         the static token file

A token passes them in this order: size, three parts, base64url, JSON, header rules, key by
(issuer, kid), signature, claim rules. Nothing that fails one step reaches the next.
"""
