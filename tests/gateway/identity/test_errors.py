"""The one way to be turned away."""

from gateway.identity.errors import Unauthenticated


def test_the_reason_is_for_the_client_and_the_detail_for_the_log() -> None:
    error = Unauthenticated("token expired", detail="an hour ago", unavailable=True)
    assert (error.reason, error.detail, error.unavailable) == ("token expired", "an hour ago", True)
    assert str(error) == "token expired (an hour ago)"
    assert str(Unauthenticated("token expired")) == "token expired"
    assert not Unauthenticated("token expired").unavailable
