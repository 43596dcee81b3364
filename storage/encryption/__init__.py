"""Encryption of segments: the cipher, data keys and their envelopes, who may open them."""
