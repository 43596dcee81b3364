"""What the operator decides about keeping and deleting, as a frozen struct. Decoded from YAML by the configuration.

Nothing set means that nothing is ever deleted. What retention never does, whatever is set here, is in
`storage.retention.decide`.
"""

from typing import Annotated

import msgspec

from storage.retention.decide import NS_PER_DAY, Policy

Days = Annotated[float, msgspec.Meta(gt=0, le=36_500)]
Bytes = Annotated[int, msgspec.Meta(gt=0)]


class RetentionSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """How long segments stay on the local disk.

    A full disk is no reason to delete: the gateway refuses calls then. Choose max_bytes well below its size.
    """

    max_age_days: Days | None = None  # since a segment's last record
    max_bytes: Bytes | None = None  # of all segments of one log; the oldest go first
    require_export: bool | None = None  # delete only what is verified in S3; not set: if export is configured
    rows_max_age_days: Days | None = None  # of rows files whose segment is gone; not set: max_age_days

    def policy(self, *, export_configured: bool) -> Policy:
        required = self.require_export if self.require_export is not None else export_configured
        return Policy(nanoseconds(self.max_age_days), self.max_bytes, required)

    @property
    def rows_max_age_ns(self) -> int | None:
        return nanoseconds(self.rows_max_age_days or self.max_age_days)


def nanoseconds(days: float | None) -> int | None:
    return None if days is None else round(days * NS_PER_DAY)
