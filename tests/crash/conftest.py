"""Fixtures of the crash tests: one oracle for all of them, one scene a test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.processes import Oracle
from tests.crash.scene import Scene


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with Oracle(tmp_path_factory.mktemp("oracle")) as running:
        yield running


@pytest.fixture
def make_scene(
    oracle: Oracle, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Scene]]:
    """make_scene(data_dir, **options of GatewayProcess): a gateway with clients, ended after the test."""
    scenes: list[Scene] = []

    def make(data_dir: Path | None = None, **options: Any) -> Scene:
        name = f"{request.node.name}.{len(scenes)}"
        scenes.append(Scene(name, data_dir or tmp_path / "data", oracle, tmp_path / "gateway.err", **options))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.end()
