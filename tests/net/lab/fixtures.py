"""What every test of a daemon is given; a conftest.py takes them by importing them."""

import pytest

from lab import peers
from lab.lab import Lab


@pytest.fixture
def lab(tmp_path):
    """The experiment of one test; a daemon that ends badly fails the test."""
    lab = Lab(tmp_path)
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def ours():
    """The daemon under test with the engine that it chooses itself."""
    return peers.under_test()


@pytest.fixture(params=peers.engines())
def each_engine(request):
    """The daemon under test, once with each engine."""
    return peers.under_test(request.param)
