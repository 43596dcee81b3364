"""Tables: what `kubectl get` prints. Cells by column, and the object of a row like any object.

A cell is made from the object by rules that only the server knows. So columns are hidden by name, for the built-in
kinds also where a path hides what they are made from; for every other kind a path outside the metadata hides all cells
but those that cannot come from the rest.
Source: k8s.io/kubernetes pkg/printers/internalversion; apiextensions additionalPrinterColumns.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.policy.masking.hiding import hide
from gateway.policy.masking.objects import ObjectMask
from gateway.policy.masking.paths import Path
from gateway.policy.masking.texts import TextMask
from gateway.policy.model import Mask

BUILT_IN_GROUPS: Final = frozenset(
    (
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    )
)

_ALWAYS_SHOWN: Final = frozenset(("name", "namespace", "age", "created at"))
_WHOLE: Final = frozenset(("spec", "status"))
"""Where a path hides all of these, nearly every column is made from what it hides."""

_COUNTED: Final = frozenset(("data", "stringData", "binaryData"))
"""The column Data says how many there are."""

# From the last name of a path to the columns the server makes from it.
_MADE_FROM: Final[Mapping[str, tuple[str, ...]]] = {
    "clusterIP": ("cluster-ip",),
    "clusterIPs": ("cluster-ip",),
    "addresses": ("endpoints", "internal-ip", "external-ip", "address"),
    "claimRef": ("claim",),
    "externalIPs": ("external-ip",),
    "externalName": ("external-ip",),
    "holderIdentity": ("holder",),
    "host": ("hosts",),
    "image": ("images",),
    "ingress": ("external-ip", "address"),
    "ip": ("external-ip", "address", "endpoints"),
    "hostname": ("external-ip", "address"),
    "labels": ("labels", "roles"),
    "lastTimestamp": ("last seen",),
    "loadBalancer": ("external-ip", "address"),
    "matchLabels": ("selector", "pod-selector", "node selector"),
    "message": ("message", "status"),
    "nodePort": ("port(s)",),
    "parameters": ("parameters",),
    "phase": ("status",),
    "podIP": ("ip",),
    "podIPs": ("ip",),
    "port": ("port(s)", "endpoints", "ports"),
    "ports": ("port(s)", "endpoints", "ports"),
    "provisioner": ("provisioner",),
    "reason": ("reason", "status"),
    "selector": ("selector", "pod-selector", "node selector"),
    "signerName": ("signername",),
    "subjects": ("users", "groups", "serviceaccounts"),
    "username": ("requestor",),
    "volumeName": ("volume",),
}


class Columns:
    """Which columns the masks of a verdict hide, in Tables of one API group. Immutable."""

    def __init__(self, masks: Iterable[Mask], paths: Iterable[tuple[Path, str]], group: str) -> None:
        self._by_name = {column.lower(): mask.rule for mask in reversed([*masks]) for column in mask.columns}
        self._other = ""  # the rule that hides every column that may come from the whole object
        for path, rule in paths:
            names = [step.name for step in path if step.name]
            if group in BUILT_IN_GROUPS:
                columns = _columns_of(names)
                is_wide = not names or names[-1] in _WHOLE
            else:
                columns = names[-1:]
                is_wide = path[0].name != "metadata"
            if is_wide:
                self._other = self._other or rule
            for column in columns:
                self._by_name.setdefault(column.lower(), rule)

    def __bool__(self) -> bool:
        """Whether any cell may be hidden for the name of its column."""
        return bool(self._by_name or self._other)

    def rule_for(self, column: str) -> str:
        """The rule that hides the column of this name, "" if none does."""
        column = column.lower()
        return self._by_name.get(column) or ("" if column in _ALWAYS_SHOWN else self._other)

    def rule_for_unnamed(self) -> str:
        """The rule for a cell nobody named a column for."""
        return self._other or next(iter(self._by_name.values()), "")


class TableMask:
    """The Tables of one answer. Columns of a first event hold for all later ones."""

    def __init__(self, columns: Columns, objects: ObjectMask, texts: TextMask | None) -> None:
        self._columns = columns
        self._objects, self._texts = objects, texts
        self._rules: list[str] = []

    @property
    def has_columns(self) -> bool:
        return bool(self._columns)

    def columns(self, definitions: object) -> None:
        """Learn the names. Only the first event of a watch has them; an empty list changes nothing."""
        if isinstance(definitions, list) and definitions:
            names = [
                definition.get("name") if isinstance(definition, dict) else None for definition in definitions
            ]
            self._rules = [self._columns.rule_for(str(name)) for name in names]

    def row(self, row: object, kind: str, counts: Counter[str]) -> None:
        """Hide cells and the object of one row, in place. A cell without a column is hidden like any other one."""
        if not isinstance(row, dict):
            return
        cells = row.get("cells")
        if isinstance(cells, list):
            unnamed = self._columns.rule_for_unnamed()
            for index, cell in enumerate(cells):
                rule = self._rules[index] if index < len(self._rules) else unnamed
                if rule:
                    cells[index] = hide(cell, rule, counts)
                elif self._texts is not None:
                    cells[index] = self._texts.value(cell, counts)
        if isinstance(row.get("object"), dict):
            self._objects.mask(row["object"], kind, counts)
        conditions = row.get("conditions")
        if self._texts is not None and conditions:
            row["conditions"] = self._texts.value(conditions, counts)


def _columns_of(names: list[str]) -> list[str]:
    """The columns of built-in kinds that show what a path with these names hides."""
    if not names or names[0] in _COUNTED:
        return []
    columns = [names[-1], *_MADE_FROM.get(names[-1], ())]
    if names[-2:] == ["containers", "name"]:
        columns.append("containers")
    return [column for column in columns if column not in _ALWAYS_SHOWN]
