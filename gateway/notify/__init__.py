"""Telling people that something waits for them: webhooks out, and Slack.

notices        pure: what is in force -> what is to be told, each with an id that never changes
notice_body    pure: the JSON of one notice; no bodies, no diffs, no secrets
signature      pure: the HMAC by which a receiver knows us
deliveries     conduct: one receiver's queue: attempts, patience, giving up
notifier       conduct: follows the shared state and fills the queues
webhook_posts  blocking: one attempt
slack_messages pure: what Slack shows, and what its buttons and forms send back
slack          conduct: the thread that talks to Slack, and the votes that come from there
"""
