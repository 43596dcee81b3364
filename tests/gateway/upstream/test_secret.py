import pickle

import pytest

from gateway.upstream.secret import Secret


def test_a_secret_is_shown_nowhere_but_by_reveal() -> None:
    secret = Secret(b"hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "hunter2" not in shown
    assert secret.reveal() == b"hunter2"


def test_secrets_compare_by_value_and_hash() -> None:
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"
    assert len({Secret(b"a"), Secret(b"a")}) == 1


def test_a_secret_cannot_be_dumped() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(b"hunter2"))
