"""The contract suite, unchanged, in a cluster."""

from __future__ import annotations

from tests.contract.test_contract import *  # noqa: F403 - every test of it, with this folder's harness
