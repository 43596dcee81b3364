"""Rows of calls, streams and control events, made from segments for search beyond one machine."""
