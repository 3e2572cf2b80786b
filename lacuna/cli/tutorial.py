"""Placeholder until the tutorial branch is merged."""

from typing import Any


def add_parser(commands: Any) -> None:
    """Nothing yet."""
