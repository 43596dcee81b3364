"""Decision: what of a text, a stream or an object is hidden. Pure, like all of `gateway.policy`.

detectors  a text -> the text with secrets replaced (secret_patterns, secret_checks, private_keys: what a secret is)
stream     the same for bytes that arrive in pieces (key_blocks, open_tails, text_view)
"""
