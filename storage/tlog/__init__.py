"""A transparency log after C2SP: RFC 6962 hashing, tiles, signed notes and checkpoints, proofs, a tree on disk, witnesses."""
