"""OCSF class API Activity (6003) and the objects in it, as far as we fill them. Pure.

Field names are those of the schema; what is at its default is left out. The trap: of some objects (user, actor,
endpoint, resource, group, url) the schema wants at least one identifying field.
Source: schema.ocsf.io 1.7.0, classes/api_activity; github.com/ocsf/ocsf-schema.
"""

import msgspec


class Named(msgspec.Struct, frozen=True, omit_defaults=True):
    """A group, a service: what OCSF knows by its name."""

    name: str


class User(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str
    type_id: int
    uid: str = ""
    groups: tuple[Named, ...] = ()


class Session(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    uid: str = ""
    issuer: str = ""
    is_remote: bool


class Actor(msgspec.Struct, frozen=True):
    user: User
    session: Session


class ApiRequest(msgspec.Struct, frozen=True):
    uid: str


class ApiResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    code: int = 0
    error: str = ""
    error_message: str = ""


class Api(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    operation: str
    service: Named
    group: Named | None = None
    version: str = ""
    request: ApiRequest
    response: ApiResponse


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str = ""
    ip: str = ""
    port: int = 0


class Url(msgspec.Struct, frozen=True, omit_defaults=True):
    path: str
    query_string: str = ""


class HttpRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    http_method: str
    url: Url
    user_agent: str = ""
    uid: str
    version: str = ""
    body_length: int = 0


class HttpResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    code: int
    body_length: int = 0


class Resource(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    uid: str
    name: str = ""
    type: str
    namespace: str = ""
    version: str = ""
    group: Named | None = None


class Product(msgspec.Struct, frozen=True):
    name: str
    vendor_name: str
    version: str


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    product: Product
    version: str
    uid: str
    correlation_uid: str = ""
    event_code: str
    log_name: str
    original_time: str
    profiles: tuple[str, ...] = ()


class Hold(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Somebody was asked, and what came of it."""

    id: str
    result: str
    by: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    held_ms: int = 0


class Policy(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Of the profile security_control: which policy decided. uid: its hash."""

    name: str
    uid: str = ""
    desc: str = ""


class Unmapped(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the schema has no place for."""

    decision: str
    mode: str
    rules: tuple[str, ...] = ()
    policy_sha256: str = ""
    session: str = ""
    kubectl_command: str = ""
    kubectl_session: str = ""
    result: str = ""
    gap: str = ""
    exit_code: int | None = None
    stream: str = ""
    container: str = ""
    argv: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    dry_run: bool = False
    duration_ms: int = 0
    scope: str = "full"
    shadow: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    holds: tuple[Hold, ...] = ()
    masked: dict[str, int] = {}
    budgets: tuple[str, ...] = ()


class OcsfEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """class_uid 6003. time: UTC milliseconds, when the call came."""

    activity_id: int
    activity_name: str
    category_uid: int
    category_name: str
    class_uid: int
    class_name: str
    type_uid: int
    type_name: str
    severity_id: int
    severity: str
    time: int
    status_id: int
    status: str
    status_code: str = ""
    status_detail: str = ""
    message: str
    actor: Actor
    api: Api
    src_endpoint: Endpoint
    http_request: HttpRequest
    http_response: HttpResponse | None = None
    resources: tuple[Resource, ...] = ()
    action_id: int
    action: str
    disposition_id: int
    disposition: str
    policy: Policy | None = None
    metadata: Metadata
    unmapped: Unmapped
