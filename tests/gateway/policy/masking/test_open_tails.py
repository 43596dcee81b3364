"""Ends of a text that could become a secret, and those that must not wait."""

import pytest

from gateway.policy.masking.detectors import NAMES
from gateway.policy.masking.open_tails import OpenTails

TAILS = OpenTails([*NAMES, "a policy's own"])


@pytest.mark.parametrize(
    ("shown", "held", "name"),
    [
        (b"id ", b"AKIA", "aws-key"),
        (b"aws_secret_access_key = ", b"wJal", "aws-key"),
        (b"k ", b"AIza", "gcp-key"),
        (b'"private_key": "', b"MII\\", "gcp-key"),
        (b"AccountKey=", b"Ab1", "azure-key"),
        (b"&sig=", b"a1", "azure-key"),
        (b"t ", b"ghp_a", "github-token"),
        (b"t ", b"xoxb-1", "slack-token"),
        (b"https://hooks.slack.com/services/", b"T0/B", "slack-token"),
        (b"t ", b"eyJhbGci", "jwt"),
        (b"card ", b"4111 1111 ", "card"),
        (b"to ", b"GB82 WEST 1", "iban"),
        (b"see ", b"bob@", "email"),
        (b"Authorization: Bearer ", b"a", "bearer"),
        (b"bearer ", b"a", "bearer"),
        (b"redis://:", b"pass", "basic-auth-url"),
        (b"join ", b"07401b.f3", "k8s-token"),
        (b"a ", b"-----BEGIN PRIVATE KEY-----\\nMII\\nE--", "private-key"),
        (b"a ", b"LS0tLS1CRUdJTiBQ", "private-key"),
    ],
)
def test_a_distinctive_beginning_is_held(shown: bytes, held: bytes, name: str) -> None:
    assert TAILS.find(shown + held) == (len(shown), name)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"root@pod:/# ",
        b"Password: ",
        b"50%\r",
        b"vi config.yaml",
        b"kill 12345",
        b"AK",
        b"-----",
        b"e",
        b"http://db",
    ],
)
def test_a_prompt_or_a_command_being_typed_is_not(text: bytes) -> None:
    assert TAILS.find(text) is None


def test_the_earliest_beginning_counts() -> None:
    assert TAILS.find(b"x postgres://u:AKIA") == (15, "aws-key")
    assert TAILS.find(b"x postgres://u:p4AKIA@db") == (15, "basic-auth-url")
