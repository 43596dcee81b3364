"""Settings of outlets: what is refused, and why."""

from typing import Any

import msgspec
import pytest

from gateway.outlets.settings import (
    EVENT_BYTES,
    FILE_EVENT_BYTES,
    OutletSettings,
    check_outlets,
    parse_webhook_url,
)

FILE = {"name": "falco", "type": "audit-file", "path": "/var/log/kubetape/audit.jsonl"}
HOOK = {
    "name": "siem",
    "type": "audit-webhook",
    "url": "https://siem.example.com:8443/k8s-audit?src=kubetape",
}


def settings(plain: dict[str, Any], **changes: Any) -> OutletSettings:
    return msgspec.convert(plain | changes, OutletSettings)


def test_a_file_and_a_webhook_need_no_more_than_their_place() -> None:
    file, hook = settings(FILE), settings(HOOK)
    assert (file.is_file, hook.is_file) == (True, False)
    assert (file.event_bytes, hook.event_bytes) == (FILE_EVENT_BYTES, EVENT_BYTES)
    assert settings(FILE, maxEventBytes=100_000).event_bytes == 100_000


@pytest.mark.parametrize(
    ("plain", "changes", "complaint"),
    [
        (FILE, {"name": "../x"}, "name:"),
        (FILE, {"name": ""}, "name:"),
        (FILE, {"type": "syslog"}, "Invalid enum value 'syslog'"),
        (FILE, {"path": None}, "audit-file takes path"),
        (FILE, {"url": "https://a.example"}, "audit-file takes path"),
        (FILE, {"tokenFile": "t"}, "neither url, caFile nor tokenFile"),
        (HOOK, {"url": None}, "audit-webhook takes url"),
        (HOOK, {"path": "x"}, "audit-webhook takes url"),
        (HOOK, {"colour": "red"}, "unknown field `colour`"),
        (FILE, {"batch": {"maxEvents": 0}}, "maxEvents: 1 to 10000"),
        (FILE, {"batch": {"maxBytes": 1}}, "maxBytes:"),
        (FILE, {"batch": {"maxWaitMs": -1}}, "maxWaitMs:"),
        (FILE, {"maxBodyBytes": -1}, "maxBodyBytes:"),
        (FILE, {"maxEventBytes": 100}, "maxEventBytes:"),
        (FILE, {"rotateBytes": 5}, "rotateBytes:"),
        (FILE, {"keepFiles": 0}, "keepFiles:"),
        (FILE, {"metadataOnly": ["Config Maps"]}, "metadataOnly:"),
    ],
)
def test_what_cannot_work_is_refused(plain: dict[str, Any], changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint.replace("(", r"\(")):
        settings(plain, **changes)


@pytest.mark.parametrize(
    "resource", ["configmaps", "configmaps/status", "leases.coordination.k8s.io", "a/b.c.d"]
)
def test_resources_without_bodies_are_named_as_kubectl_does(resource: str) -> None:
    assert settings(FILE, metadataOnly=[resource]).metadata_only == (resource,)


def test_outlets_do_not_share_a_name_or_a_file() -> None:
    check_outlets([settings(FILE), settings(HOOK)])
    with pytest.raises(ValueError, match="the name falco"):
        check_outlets([settings(FILE), settings(HOOK, name="falco")])
    with pytest.raises(ValueError, match="the path /var"):
        check_outlets([settings(FILE), settings(FILE, name="other")])


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://siem.example.com", "siem.example.com", 443),
        ("https://10.0.0.7:8443/a/b?c=d", "10.0.0.7", 8443),
        ("http://127.0.0.1:9000/", "127.0.0.1", 9000),
        ("http://localhost/x", "localhost", 80),
        ("http://[::1]:8080/x", "::1", 8080),
        ("https://[2001:db8::5]/x", "2001:db8::5", 443),
    ],
)
def test_urls_that_are_fine(url: str, host: str, port: int) -> None:
    where = parse_webhook_url(url)
    assert (where.host, where.port) == (host, port)
    assert where.is_loopback is (where.scheme == "http")


@pytest.mark.parametrize(
    "url",
    [
        "http://siem.example.com/",
        "http://10.0.0.7/",
        "http://0.0.0.0/",
        "ftp://siem.example.com",
        "siem.example.com",
        "https://user:password@siem.example.com/",
        "https://siem.example.com/#x",
        "https://siem.example.com/ x",
        "https:///x",
        "https://siem.example.com:0/",
        "https://siem.example.com:70000/",
        "https://" + "a" * 2100,
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fd00:ec2::254]/latest",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:a9fe:a9fe::1]/",
        "https://[::::]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://169.254.169.254./",
        "https://0xA9FEA9FE/",
        "https://2852039166/",
        "https://0251.0376.0251.0376/",
        "https://169.254.43518/",
        "https://100.100.100.200/",
        "https://168.63.129.16/",
        "https://224.0.0.1/",
        "http://127.1/",
    ],
)
def test_urls_that_are_not(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url: "):
        parse_webhook_url(url)
