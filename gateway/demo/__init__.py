"""The demo: a stand-in API server (standin/), an agent that works through a real gateway, and a tour of the record.

tour     what is shown, in order; steps: what the agent does
agent    runs a step, by kubectl or (without one) by HTTP and WebSocket of our own
"""
