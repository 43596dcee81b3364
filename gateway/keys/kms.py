"""AWS KMS: data keys made by GenerateDataKey, opened by Decrypt. The one module that knows boto3 for it.

Blocking, with a deadline; runs in the key pool's thread or in the command line, never on the path of a request.
Each data key is bound to an encryption context of origin, cluster and segment id, which KMS demands again, to
the letter, to open it, writes to CloudTrail, and can make a condition of. So a gateway needs only
kms:GenerateDataKey and cannot read its own log; kms:Decrypt is for auditors.

The trap: botocore asks for credentials, which may ask the network, only at the first call. Nothing here happens
in a constructor.
"""

import threading
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from gateway.keys.settings import region_of
from storage.encryption.cipher import DATA_KEY_BYTES
from storage.encryption.keys import Envelope, Wrap
from storage.errors import StorageError

ALG_KMS: Final = "aws-kms"
CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 5.0
ATTEMPTS: Final = 3
"""With botocore's pauses between them at most half a minute in all; the pool tries again by itself."""


class KeyServiceFailed(StorageError):
    """KMS did not make or open a data key. The message says why and what would do; code: what KMS said."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class _Reply(msgspec.Struct, rename="pascal"):
    """Of GenerateDataKey and Decrypt. Not to be shown."""

    plaintext: bytes
    ciphertext_blob: bytes = b""
    key_id: str = ""

    def __repr__(self) -> str:
        return f"_Reply({self.key_id})"


class _Client(Protocol):
    """What is used of a botocore client."""

    def generate_data_key(self, **parameters: object) -> object: ...

    def decrypt(self, **parameters: object) -> object: ...


class KmsKeys:
    """Makes data keys under one KMS key, and opens what any KMS key wraps that our credentials may use.

    key_id: ARN, alias/NAME or id; "" for a reader. region, endpoint_url: "" for what the ARN and AWS say.
    context: what the encryption context has beside segment_id: origin, cluster.
    """

    def __init__(
        self,
        key_id: str = "",
        region: str = "",
        endpoint_url: str = "",
        context: dict[str, str] | None = None,
    ) -> None:
        self._key_id, self._region, self._endpoint_url = key_id, region, endpoint_url
        self._context = dict(context or {})
        self._clients: dict[str, _Client] = {}
        self._mutex = threading.Lock()

    def generate(self, segment_id: str) -> tuple[bytes, Wrap]:
        """A new data key and its wrap. Raises KeyServiceFailed."""
        reply = self._call(
            "GenerateDataKey",
            self._key_id,
            lambda client: client.generate_data_key(
                KeyId=self._key_id,
                KeySpec="AES_256",
                EncryptionContext={**self._context, "segment_id": segment_id},
            ),
        )
        if len(reply.plaintext) != DATA_KEY_BYTES:
            raise KeyServiceFailed(
                f"KMS GenerateDataKey with {self._key_id}: the key has not {DATA_KEY_BYTES} bytes"
            )
        beside = {name: value for name, value in self._context.items() if name != "origin"}
        return reply.plaintext, Wrap(reply.key_id, ALG_KMS, reply.ciphertext_blob, beside)

    def unwrap(self, envelope: Envelope) -> bytes | None:
        """The data key of a segment; None when no KMS key wraps it. Raises KeyServiceFailed."""
        problem: KeyServiceFailed | None = None
        for wrap in envelope.wraps:
            if wrap.alg == ALG_KMS:
                try:
                    return self._decrypt(envelope, wrap)
                except KeyServiceFailed as error:
                    problem = problem or error
        if problem is not None:
            raise problem
        return None

    def _decrypt(self, envelope: Envelope, wrap: Wrap) -> bytes:
        # origin and segment are those of the envelope, whatever the wrap says: else it could be another's
        context = {**wrap.context, "origin": envelope.log_origin, "segment_id": envelope.segment_id}
        reply = self._call(
            "Decrypt",
            wrap.kek_id,
            lambda client: client.decrypt(
                CiphertextBlob=wrap.blob, KeyId=wrap.kek_id, EncryptionContext=context
            ),
        )
        return reply.plaintext

    def _call(self, operation: str, key_id: str, call: Callable[[_Client], object]) -> _Reply:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            reply = call(self._client(self._region or region_of(key_id)))
            return msgspec.convert(reply, _Reply)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            raise KeyServiceFailed(
                f"KMS {operation} with {key_id}: {_advice(code, operation)}", code
            ) from error
        except (BotoCoreError, OSError) as error:
            kind = type(error).__name__
            raise KeyServiceFailed(
                f"KMS {operation} with {key_id}: {_NO_ANSWER.get(kind, kind)}", kind
            ) from error
        except (
            ValueError,
            TypeError,
        ) as error:  # an endpoint or a reply that is none; its text may quote what came
            raise KeyServiceFailed(f"KMS {operation} with {key_id}: the answer is not one of KMS") from error

    def _client(self, region: str) -> _Client:
        with self._mutex:
            client = self._clients.get(region)
            if client is None:
                client = self._clients[region] = self._open_client(region)
            return client

    def _open_client(self, region: str) -> _Client:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            max_pool_connections=2,
        )
        client: _Client = boto3.session.Session().client(
            "kms", region_name=region or None, endpoint_url=self._endpoint_url or None, config=config
        )
        return client


# --- what to do about it --------------------------------------------------------------------------

_NO_ANSWER: Final = {
    "NoCredentialsError": "no AWS credentials: give the pod a role (Pod Identity, IRSA) or set AWS_PROFILE",
    "PartialCredentialsError": "the AWS credentials are incomplete",
    "CredentialRetrievalError": "the AWS credentials could not be fetched",
    "NoRegionError": "no region: give the ARN of the key or kmsRegion",
    "EndpointConnectionError": "cannot be reached: check the network, or the VPC endpoint of kms",
    "ConnectTimeoutError": f"no connection within {CONNECT_TIMEOUT_S:.0f} s: check the network, or the VPC endpoint of kms",
    "ReadTimeoutError": f"no answer within {READ_TIMEOUT_S:.0f} s",
    "ConnectionClosedError": "the connection broke",
    "SSLError": "its certificate is not trusted",
}

_BUSY: Final = (
    "is asked too often just now, and is asked again; raise the quota of KMS requests if it stays so"
)
_CREDENTIALS: Final = "does not accept the AWS credentials: renew them, and check the clock"
_ADVICE: Final = {
    "NotFoundException": "there is no such key in this region and account",
    "DisabledException": "the key is disabled: enable it",
    "KMSInvalidStateException": "the key is disabled or waits for its deletion: enable it, or cancel the deletion",
    "KeyUnavailableException": "the key cannot be used just now, and is asked again",
    "InvalidKeyUsageException": "the key is not one for encryption: it must be SYMMETRIC_DEFAULT",
    "InvalidCiphertextException": "the wrapped key is not of this key, segment and log: the envelope is damaged or another segment's",
    "IncorrectKeyException": "the wrapped key was made with another KMS key",
    "ThrottlingException": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "LimitExceededException": _BUSY,
    "ExpiredTokenException": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "IncompleteSignature": _CREDENTIALS,
}


def _advice(code: str, operation: str) -> str:
    """What a KMS error code means for the operator. The text of KMS is not shown: it may quote the request."""
    if code == "AccessDeniedException":
        return (
            f"access denied: allow the role kms:{operation} on this key, in its IAM policy and the key policy, with "
            "a condition on kms:EncryptionContext:origin if any"
        )
    return _ADVICE.get(code) or f"failed with {code[:64] or 'no code'}"
