"""Retention: what the operator decides (settings), and the minute's run over all logs (running)."""
