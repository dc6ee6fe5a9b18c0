"""`decide` and the real sidecar give the same answer to generated requests."""

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bottlegen.decide import decide
from tests.dataplane.client import Answer, Tunnel, get
from tests.dataplane.conftest import World

HOSTS = ("api.test", "methods.test", "exact.wild.test", "a.wild.test", "open.test")
PIECES = (
    "/", "//", "/open", "/repos", "/x", "/issues", "/keyed/", "/only", "/v1/x-", ".", "..", "%2e", "%2E", "%", "2",
    "25", "e", "%41", ";", "\\", "%5c", "%2f", "%7B", "[", "~", "|", "%00", "*", "%c0", "?x=/../", "'", "%61",
)  # fmt: skip
PATHS = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "/" + "".join(pieces))


class Connections:
    """Keeps one connection per host open: a new one per request would take most of the time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[str, Tunnel] = {}

    def ask(self, host: str, method: str, path: str) -> Answer:
        tunnel = self._open.pop(host, None) or Tunnel(self._world.sidecar, host)
        answer = tunnel.request(get(path, host, "Content-Length: 0", method=method))
        if answer.status == 400:
            tunnel.__exit__()
        else:
            self._open[host] = tunnel
        return answer

    def close(self) -> None:
        for tunnel in self._open.values():
            tunnel.__exit__()


def test_decide_agrees_with_envoy(world: World) -> None:
    connections = Connections(world)

    @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(host=st.sampled_from(HOSTS), method=st.sampled_from(["GET", "POST", "DELETE", "TRACE"]), path=PATHS)
    @example(host="api.test", method="GET", path="/open/%%32e%%32e/x")
    @example(host="api.test", method="GET", path="/open/a%%34%31")
    @example(host="api.test", method="GET", path="/open/..;%2e/x")
    @example(host="api.test", method="TRACE", path="/open/x")
    @example(host="api.test", method="POST", path="//repos/x/./issues/?q")
    def check(host: str, method: str, path: str) -> None:
        expected = decide(world.sidecar.routes, host, 443, method, path)
        answer = connections.ask(host, method, path)
        assert answer.status == (expected.status or 200)
        if expected.allowed:
            assert answer.json()["path"].partition("?")[0] == expected.path
            injected = any(value.find("canary") >= 0 for _, value in answer.json()["headers"])
            assert injected is bool(expected.slot)

    check()
    connections.close()
