"""Telling people that something waits for them: webhooks out, and Slack. See docs/approvals.md.

notices        pure: what is in force -> what is to be told, each with an id that never changes
notice_body    pure: the JSON of one notice; no bodies, no diffs, no secrets
signature      pure: the HMAC by which a receiver knows us
notifier       conduct: follows the shared state and tells the receivers
deliveries     conduct: one receiver's queue: attempts, patience, giving up
receivers, webhook_posts     a webhook: what it wants; one signed attempt
slack_messages, slack_replies     pure: what Slack shows, and what comes back from there
slack          conduct: the threads that talk to Slack, and the votes that come from them
running        conduct: all of it, started together
"""
