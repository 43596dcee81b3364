"""The import rule of docs/architecture.md, held by reading every module's imports."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
IO_MODULES = {
    "trio",
    "socket",
    "ssl",
    "asyncio",
    "threading",
    "time",
    "os",
    "logging",
    "subprocess",
    "select",
}


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, at any depth of the code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def modules(package: str) -> list[Path]:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths, f"{package} has no modules"
    return paths


def offences(package: str, forbidden: set[str], *, but: frozenset[str] = frozenset()) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in sorted(imports_of(path))
        if str(path.relative_to(ROOT)) not in but
        and any(name == root or name.startswith(f"{root}.") for root in forbidden)
    ]


def test_protocol_does_no_input_or_output_and_knows_no_clock() -> None:
    assert offences("protocol", IO_MODULES | {"gateway", "storage", "tests"}) == []


def test_of_websockets_nothing_but_the_masks_is_used() -> None:
    """`protocol` may have that function, for it only turns bytes into bytes; the rest of the library does I/O, and
    frames are ours. Importing it by another module of the library would bring asyncio or sockets into every start."""
    knowing = {
        (str(path.relative_to(ROOT)), name)
        for package in ("protocol", "storage", "gateway", "benchmarks")
        for path in modules(package)
        for name in imports_of(path)
        if name == "websockets" or name.startswith("websockets.")
    }
    function = {f"websockets.{module}" for module in ("speedups", "utils")}
    masks = "protocol/websocket_masks.py"
    assert knowing == {(masks, name) for module in function for name in (module, f"{module}.apply_mask")}


def test_policy_is_pure() -> None:
    assert (
        offences("gateway/policy", IO_MODULES | {"storage", "tests", "gateway.recorder", "gateway.tape"})
        == []
    )


def test_who_may_do_what_over_the_api_is_decided_by_pure_code() -> None:
    pure = ("rights", "finding", "documents", "showing", "words", "routes", "openapi", "settings")
    everything = {str(path.relative_to(ROOT)) for path in modules("gateway/console")}
    conduct = frozenset(everything - {f"gateway/console/{name}.py" for name in pure})
    assert offences("gateway/console", IO_MODULES, but=conduct) == []
    told = ("notices", "notice_body", "signature", "slack_messages", "slack_replies", "settings")
    everything = {str(path.relative_to(ROOT)) for path in modules("gateway/notify")}
    conduct = frozenset(everything - {f"gateway/notify/{name}.py" for name in told})
    assert offences("gateway/notify", IO_MODULES, but=conduct) == []


def test_storage_knows_neither_trio_nor_the_gateway() -> None:
    assert offences("storage", {"trio", "socket", "ssl", "asyncio", "gateway", "tests"}) == []


def test_what_is_folded_from_the_state_is_pure() -> None:
    """The decision path asks these, so they must answer from memory and from the time they are given."""
    pure = (
        "entries",
        "ballot",
        "hold_state",
        "grant_state",
        "revocations",
        "ledgers",
        "view",
        "voting",
        "claims",
    )
    for name in pure:
        path = f"gateway/state/{name}.py"
        imported = imports_of(ROOT / path)
        assert not {root for root in IO_MODULES | {"sqlite3", "psycopg", "random"} if root in imported}, path


def test_nothing_imports_tests() -> None:
    assert offences("gateway", {"tests"}) + offences("benchmarks", {"tests.test_imports"}) == []


def test_only_the_verb_bench_knows_the_benchmarks_and_by_name_alone() -> None:
    """They ship with the program, for `kubetape bench` measures a user's own cluster; nothing else may need them.
    By importlib, so that an import statement anywhere in the gateway stays an offence."""
    for package in ("gateway", "storage", "protocol"):
        assert offences(package, {"benchmarks"}) == []
    naming = {
        str(path.relative_to(ROOT))
        for path in modules("gateway")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and str(node.value).startswith("benchmarks.")
    }
    assert naming == {"gateway/cli/bench.py"}


def test_only_the_recorder_opens_a_log_for_writing() -> None:
    """Type and error names are free to all; the writing classes are not."""
    allowed = frozenset({"gateway/recorder.py", "gateway/log_name.py"})
    assert offences("gateway", {"storage.writer", "storage.log"}, but=allowed) == []


def test_only_the_owning_modules_know_their_libraries() -> None:
    owners = {
        "httpx2": frozenset(
            {"gateway/identity/keys.py", "gateway/outlets/webhook_door.py", "gateway/witness/client.py"}
        ),
        "boto3": frozenset({"gateway/export/s3.py", "gateway/keys/kms.py", "gateway/store/s3_files.py"}),
        "psycopg": frozenset({"gateway/state/postgres.py", "gateway/state/postgres_link.py"}),
        "duckdb": frozenset({"gateway/lake/engine.py"}),
        "prometheus_client": frozenset({"gateway/metrics.py"}),
        "trustme": frozenset({"gateway/server/tls.py", "gateway/demo/standin/settings.py"}),
        "cel_expr_python": frozenset({"gateway/policy/condition.py"}),
        "h11": frozenset({"gateway/server/management.py", "gateway/witness/server.py"}),
        "slack_sdk": frozenset({"gateway/notify/slack.py"}),
        "zstandard": frozenset(),
    }
    for library, files in owners.items():
        found = [o for o in offences("gateway", {library}, but=files) if "gateway/demo/standin/" not in o]
        assert found == []
