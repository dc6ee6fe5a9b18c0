"""A network of docker's that stands for the internet: bottles leave through it, and this host is its gateway."""

import contextlib
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def network() -> Iterator[tuple[str, str]]:
    """Its name, and the address on it where this host listens; removed afterwards."""
    import docker  # late: other runtimes' tests need no engine

    with contextlib.closing(docker.from_env()) as engine:
        made = engine.networks.create(f"bottlegen-test-{uuid.uuid4().hex[:8]}", driver="bridge")
        try:
            made.reload()
            yield str(made.name), made.attrs["IPAM"]["Config"][0]["Gateway"].partition("/")[0]
        finally:
            made.remove()
