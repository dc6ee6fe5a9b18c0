"""A pretend internet for tests: providers that answer like the real ones and write down what they were shown."""

from tests.pretend.authority import HOSTS, TestAuthority
from tests.pretend.server import Pretence, PretendProvider, Seen

__all__ = ["HOSTS", "Pretence", "PretendProvider", "Seen", "TestAuthority"]
