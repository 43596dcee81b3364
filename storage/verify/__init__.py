"""Proving a log untouched, offline and without keys; proofs of single exchanges."""
