"""The small digits problem of the proxy's tests."""

from tests.proxy.conftest import dataset, problem, space, stored

__all__ = ["dataset", "problem", "space", "stored"]
