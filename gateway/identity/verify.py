"""Is this token signed by this key? Pure. PyJWT decides, with one key and its one algorithm.

PyJWT's own claim checks are off: the rules of `claims` work on the pre-decoded payload, with our clock.
For that to be sound, both must have read the same object, so the two are compared.
"""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import InvalidSignatureError, PyJWT, PyJWTError
from jwt.types import Options

from gateway.identity.errors import Unauthenticated
from gateway.identity.jwks import VerificationKey
from gateway.identity.predecode import DecodedToken

_JWT: Final = PyJWT()
_SIGNATURE_ONLY: Final[Options] = {
    "verify_signature": True,
    "enforce_minimum_key_length": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
    "require": [],
}


def verify_signature(decoded: DecodedToken, key: VerificationKey) -> None:
    """Return if `key` signed exactly what `decoded` holds; raises Unauthenticated. About 100 to 200 us."""
    if decoded.algorithm != key.algorithm:
        raise Unauthenticated("the token's algorithm is not that of its key")
    try:
        read = _JWT.decode_complete(
            decoded.token, key.public_key, algorithms=[key.algorithm], options=_SIGNATURE_ONLY
        )
    except InvalidSignatureError:
        raise Unauthenticated("the token's signature is not valid") from None
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise Unauthenticated("the token is not valid", detail=type(error).__name__) from None
    # repr tells 1 from 1.0 and True, and keeps the order of members: equal means read alike.
    if repr(read["payload"]) != repr(decoded.payload) or repr(read["header"]) != repr(decoded.header):
        raise Unauthenticated("the token can be read in two ways")
