"""Fixtures: a stand-in in this process, modern or old."""

from pathlib import Path

import pytest
import trio

from gateway.demo.standin.server import Standin, serve_standin
from gateway.demo.standin.settings import Identity, StandinSettings, old_server


@pytest.fixture
def settings(tmp_path: Path) -> StandinSettings:
    return StandinSettings(directory=tmp_path / "standin", tokens={"bobs-token": Identity("bob", ("devs",))})


@pytest.fixture
async def standin(nursery: trio.Nursery, settings: StandinSettings) -> Standin:
    started: Standin = await nursery.start(serve_standin, settings)
    return started


@pytest.fixture
async def old_standin(nursery: trio.Nursery, settings: StandinSettings) -> Standin:
    started: Standin = await nursery.start(serve_standin, old_server(settings))
    return started
