import pytest

from gateway.demo.standin.api import store as store_module
from gateway.demo.standin.api.kinds import Kind, find_kind
from gateway.demo.standin.api.store import Store
from gateway.demo.standin.replies import Failure


@pytest.fixture
def store() -> Store:
    return Store(lambda: "2025-01-01T00:00:00Z", lambda: None)


def _kind(plural: str) -> Kind:
    found = find_kind("", "v1", plural)
    assert found
    return found


MAPS = _kind("configmaps")


def test_an_object_gets_uid_revision_and_namespace(store: Store) -> None:
    made = store.create(MAPS, "a", {"metadata": {"name": "x"}})
    assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
    assert made["metadata"]["namespace"] == "a"
    assert made["metadata"]["resourceVersion"] == str(store.revision)
    assert len(made["metadata"]["uid"]) == 36


def test_a_generated_name_is_made(store: Store) -> None:
    name = store.create(MAPS, "a", {"metadata": {"generateName": "x-"}})["metadata"]["name"]
    assert name.startswith("x-")
    assert len(name) == 7


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [({"name": "x"}, {"name": "x"}, 409), ({"name": "x"}, {}, 422)],
)
def test_what_exists_or_has_no_name_is_refused(
    store: Store, first: dict[str, str], second: dict[str, str], code: int
) -> None:
    store.create(MAPS, "a", {"metadata": first})
    with pytest.raises(Failure) as failure:
        store.create(MAPS, "a", {"metadata": second})
    assert failure.value.code == code


def test_an_old_resource_version_is_a_conflict(store: Store) -> None:
    made = store.create(MAPS, "a", {"metadata": {"name": "x"}})
    store.replace(MAPS, "a", made | {"data": {"k": "1"}})
    with pytest.raises(Failure) as failure:
        store.replace(MAPS, "a", made | {"data": {"k": "2"}})
    assert (failure.value.code, failure.value.reason) == (409, "Conflict")


def test_a_write_that_changes_nothing_makes_no_event(store: Store) -> None:
    made = store.create(MAPS, "a", {"metadata": {"name": "x"}})
    revision = store.revision
    assert store.replace(MAPS, "a", made) == made
    assert store.revision == revision


def test_a_dry_run_leaves_no_trace(store: Store) -> None:
    revision = store.revision
    assert store.create(MAPS, "a", {"metadata": {"name": "x"}}, dry_run=True)["metadata"]["uid"]
    assert list(store.list(MAPS, "")) == []
    assert store.revision == revision


def test_history_tells_every_change_once_and_in_order(store: Store) -> None:
    start = store.revision
    made = store.create(MAPS, "a", {"metadata": {"name": "x"}})
    store.replace(MAPS, "a", made | {"data": {"k": "1"}})
    store.delete(MAPS, "a", "x")
    changes = list(store.changes_since(start))
    assert [change.type for change in changes] == ["ADDED", "MODIFIED", "DELETED"]
    assert [change.revision for change in changes] == [start + 1, start + 2, start + 3]
    assert [change.type for change in store.changes_since(start + 2)] == ["DELETED"]


def test_a_watcher_older_than_the_history_is_told_410(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_HISTORY", 4)
    store = Store(lambda: "", lambda: None)
    start = store.revision
    for number in range(6):
        store.create(MAPS, "a", {"metadata": {"name": f"x{number}"}})
    with pytest.raises(Failure) as failure:
        store.changes_since(start)
    assert failure.value.code == 410
    assert len(list(store.changes_since(store.revision - 4))) == 4


def test_what_is_handed_out_is_a_copy(store: Store) -> None:
    made = store.create(MAPS, "a", {"metadata": {"name": "x"}, "data": {"k": "1"}})
    made["data"]["k"] = "2"
    assert store.get(MAPS, "a", "x")["data"] == {"k": "1"}
