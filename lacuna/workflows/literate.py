"""The workflows of niworkflows, which collect methods texts, without what importing it changes."""

from __future__ import annotations

from lacuna.utils.backend import backend_kept

with backend_kept():
    from niworkflows.engine.workflows import LiterateWorkflow as Workflow

__all__ = ['Workflow']
