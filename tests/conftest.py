"""One physics thread per environment unless a test asks for more: the tests themselves run in parallel."""

import os

import pytest


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    if "SAFETY_GYM_THREADS" not in os.environ:
        monkeypatch.setenv("SAFETY_GYM_THREADS", "1")


@pytest.fixture(scope="session")
def opengl() -> str:
    """The OpenGL backend that works here; skips without one."""
    from safety_gym import rendering

    try:
        return rendering.select_backend()
    except rendering.GLUnavailable as error:
        pytest.skip(f"no OpenGL backend: {error}")
