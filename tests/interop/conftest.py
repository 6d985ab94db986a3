"""The interpreters that have other people's programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from environments import python_with


@pytest.fixture(scope="session")
def interop_python() -> Path:
    """Has the clients of others."""
    return python_with("interop")


@pytest.fixture(scope="session")
def schemathesis_python() -> Path:
    """Has schemathesis, which asks a server whatever its document allows, and what it does not."""
    return python_with("schemathesis")
