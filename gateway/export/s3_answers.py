"""S3 error codes to outcomes, with words for people. Pure: no boto3.

The table is short because the rest follows from the HTTP status. The trap: S3 says "try again" with 400s
(RequestTimeout), and "this will never work" with 500s (NotImplemented).
Source: S3 API reference, "Error responses"; botocore.exceptions.
"""

import re
from typing import Final

from storage.export import Answer, Outcome

_CODE: Final = re.compile(r"[A-Za-z0-9.]{1,64}")

_BY_CODE: Final[dict[str, Outcome]] = {
    "BadDigest": Outcome.MISMATCH,
    "InvalidDigest": Outcome.MISMATCH,
    "XAmzContentSHA256Mismatch": Outcome.MISMATCH,
    "XAmzContentChecksumMismatch": Outcome.MISMATCH,
    "IncompleteBody": Outcome.TRANSIENT,
    "RequestTimeout": Outcome.TRANSIENT,
    "RequestTimeTooSkewed": Outcome.SKEWED,
    "RequestExpired": Outcome.SKEWED,
    "NotImplemented": Outcome.DENIED,
    "NoSuchBucket": Outcome.DENIED,
    "PermanentRedirect": Outcome.DENIED,
    "EntityTooLarge": Outcome.UNFIT,
    "KMS.ThrottlingException": Outcome.TRANSIENT,
    "SlowDown": Outcome.TRANSIENT,
}
_BY_STATUS: Final[dict[int, Outcome]] = {
    404: Outcome.MISSING,
    408: Outcome.TRANSIENT,
    409: Outcome.CONFLICT,
    412: Outcome.EXISTS,
    429: Outcome.TRANSIENT,
}
_HINTS: Final[dict[str, str]] = {
    "AccessDenied": "the role may not do this: see the policy in the documentation of `s3`",
    "ExpiredToken": "the credentials have expired",
    "InvalidAccessKeyId": "the store does not know these credentials",
    "SignatureDoesNotMatch": "the secret key is wrong, or something on the way changes requests",
    "NoSuchBucket": "there is no such bucket",
    "PermanentRedirect": "the bucket is in another region: set `region`",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set `region`",
    "RequestTimeTooSkewed": "the clock of this machine is wrong by more than S3 forgives",
    "NotImplemented": "the store lacks a feature: conditional PUT, SHA-256 checksums or object lock",
    "InvalidRequest": "does the bucket have object lock, and the store SHA-256 checksums?",
    "403": "forbidden; or not there, if the role may not list the bucket",
}
_NO_CREDENTIALS: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ConfigNotFound",
        "ProfileNotFound",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "SSOTokenLoadError",
        "InvalidConfigError",
        "RefreshWithMFAUnsupportedError",
    }
)
_MISTAKES: Final = frozenset(
    {"ParamValidationError", "InvalidRegionError", "NoRegionError", "UnknownEndpointError"}
)


def answer_of_code(what: str, code: str, status: int) -> Answer:
    """What an error answer of S3 means. what: operation and key, for the message.

    code: S3's, or the status in digits where the answer has no body (HEAD).
    """
    code = code if _CODE.fullmatch(code) else "error"
    outcome = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if outcome is None:
        outcome = Outcome.TRANSIENT if status >= 500 or status < 300 else Outcome.DENIED
    hint = _HINTS.get(code, "")
    return Answer(outcome, f"{what}: {code} ({status})" + (f": {hint}" if hint else ""), code)


def answer_of_library(what: str, error: str) -> Answer:
    """What an error of the AWS library without an answer of S3 means. error: the name of its class."""
    if error in _NO_CREDENTIALS:
        return Answer(Outcome.DENIED, f"{what}: no usable AWS credentials ({error})")
    if error in _MISTAKES:
        return Answer(Outcome.DENIED, f"{what}: the settings of the store do not work ({error})")
    return Answer(Outcome.TRANSIENT, f"{what}: no answer ({error})")
