"""A log of segments as a transparency log: leaves, checkpoints while it grows, signed statements, the check before a start."""
