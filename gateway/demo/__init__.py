"""The demo: a stand-in API server (standin/), two people who work through a real gateway, and a tour of what it does.

tour           starts and ends everything; scenes: what is shown; stage: what every scene works with
steps          what the two do; people: who they are; oncall: decides what is held; policies/: what is in force
kubectl_hands  runs a step by kubectl; http_hands: without one, by HTTP and WebSocket of our own (shown_answers)
screen         text or JSON; keypress: one key of whoever watches; figures: the table at the end
"""
