"""What the operator decides about encryption at rest, as a frozen struct. Decoded from YAML by the configuration.

Nothing said: the local key file. Recipients or a key service alone: a gateway that writes and cannot read its own
log. Everything that can be checked without the network is checked here. Raises ValueError, which msgspec reports
with the place in the file.
"""

import re
from typing import Final, Literal

import msgspec

from storage.encryption.hpke_key import HpkeRecipient
from storage.errors import BadKeyFile

MAX_RECIPIENTS: Final = 16
_KMS_ARN: Final = re.compile(
    r"arn:aws[a-z-]{0,16}:kms:(?P<region>[a-z0-9-]{1,32}):[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]{1,256}",
    re.ASCII,
)
_KMS_NAME: Final = re.compile(r"(alias/[A-Za-z0-9/_-]{1,250}|(mrk-)?[0-9a-f-]{32,36})", re.ASCII)
_REGION: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_ENDPOINT: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]{1,255}(/[A-Za-z0-9._/-]*)?", re.ASCII)


def region_of(kms_key: str) -> str:
    """The region an ARN of a KMS key names, "" when it is no ARN."""
    found = _KMS_ARN.fullmatch(kms_key)
    return found["region"] if found else ""


class EncryptionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """For whom data keys are wrapped. Everything given counts: any one of them opens the log."""

    mode: Literal["local", "none"] | None = None  # "none": the log is not encrypted; must be said
    local_key: str | None = None  # key file; default keys/local.key in the data directory
    hpke_recipients: tuple[str, ...] = ()  # public keys, as `kubetape keys new-recipient` prints them
    kms_key: str | None = None  # ARN, or alias/NAME or key id with kmsRegion
    kms_region: str | None = None  # default: the one in the ARN
    kms_endpoint: str | None = None  # default: AWS

    def __post_init__(self) -> None:
        given = self.local_key is not None or bool(self.hpke_recipients) or self.kms_key is not None
        if self.mode == "none" and given:
            raise ValueError("mode: none means no encryption; leave out localKey, hpkeRecipients and kmsKey")
        if self.local_key == "":
            raise ValueError(
                "localKey: name a file, or leave it out for keys/local.key in the data directory"
            )
        self._check_recipients()
        self._check_kms()

    def _check_recipients(self) -> None:
        if len(self.hpke_recipients) > MAX_RECIPIENTS:
            raise ValueError(f"hpkeRecipients: at most {MAX_RECIPIENTS}")
        seen = set()
        for number, text in enumerate(self.hpke_recipients, 1):
            try:
                kek_id = HpkeRecipient(text).kek_id
            except BadKeyFile as error:
                raise ValueError(f"hpkeRecipients, number {number}: {error}") from error
            if kek_id in seen:
                raise ValueError(f"hpkeRecipients, number {number}: is there twice")
            seen.add(kek_id)

    def _check_kms(self) -> None:
        if self.kms_key is None:
            if self.kms_region is not None or self.kms_endpoint is not None:
                raise ValueError("kmsRegion and kmsEndpoint need a kmsKey")
            return
        region = region_of(self.kms_key)
        if not region and not _KMS_NAME.fullmatch(self.kms_key):
            raise ValueError("kmsKey: an ARN (arn:aws:kms:REGION:ACCOUNT:key/ID), alias/NAME or a key id")
        if not region and self.kms_region is None:
            raise ValueError("kmsKey: give its ARN, or its kmsRegion beside it")
        if self.kms_region is not None and not _REGION.fullmatch(self.kms_region):
            raise ValueError("kmsRegion: such as eu-central-1")
        if region and self.kms_region not in (None, region):
            raise ValueError(f"kmsRegion: the ARN of kmsKey says {region}")
        if self.kms_endpoint is not None and not _ENDPOINT.fullmatch(self.kms_endpoint):
            raise ValueError("kmsEndpoint: https://HOST[:PORT]")

    @property
    def is_encrypted(self) -> bool:
        return self.mode != "none"

    @property
    def uses_local(self) -> bool:
        """Whether the local key file is one of the recipients."""
        others = bool(self.hpke_recipients) or self.kms_key is not None
        return self.is_encrypted and (self.mode == "local" or self.local_key is not None or not others)
