"""Decision: what of a text, a stream or an object is hidden. Pure, like all of `gateway.policy`.

detectors        a text -> the text with secrets replaced (secret_patterns, secret_checks: what a secret is)
stream           the same for bytes that arrive in pieces
"""
