"""Lets the doctests of a single module run as those of the whole package do."""

from importlib import import_module
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

ROOT = Path(__file__).parent


def pytest_collect_file(file_path):
    # Left to itself, pytest runs a module again that its package has imported, which registers its classes twice.
    package = file_path.parent
    if file_path.suffix == '.py' and package.is_relative_to(ROOT / 'askd_mmdet'):
        import_module('.'.join(package.relative_to(ROOT).parts))


def pytest_runtest_setup(item):
    # Else the first doctest that logs builds the logger, which writes to what that doctest prints.
    if isinstance(item, pytest.DoctestItem):
        MMLogger.get_current_instance()
