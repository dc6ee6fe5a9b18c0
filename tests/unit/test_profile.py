"""What a sound profile becomes: defaults, inheritance, equality of forms; and that any mutation of one is an error."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import strategies as st

from bottlegen import agent_env, toml_source
from bottlegen.errors import PlanError, Problem, ProfileError
from bottlegen.plan import AgentProvider, Auth, Resources, Route
from bottlegen.profile import Profile, Workspace, load
from bottlegen.routes import compile_routes

FIELDS = {
    "claude": frozenset({"auth_token"}),
    "codex": frozenset({"forward_host_credentials"}),
    "shell": frozenset[str](),
}
FULL: dict[str, Any] = {
    "runtime": "docker",
    "isolation": "container",
    "home": "ephemeral",
    "agent_provider": {
        "template": "codex",
        "forward_host_credentials": True,
        "version": "0.169.0",
        "command": ["codex", "--x"],
    },
    "env": {"RUST_LOG": "info", "EDITOR": "vim", "ANSWER": "no"},
    "workspace": {"mode": "bind", "path": "./src/", "read_only": ["docs/", "docs", "a//b"]},
    "resources": {"cpus": 1.5, "memory": "512MiB", "pids": 100},
    "egress": {
        "routes": [
            {
                "host": "API.GitHub.com.",
                "port": 8443,
                "methods": ["get", "POST"],
                "paths": ["/repos/**", "/user"],
                "auth": {"token_ref": "GITHUB_TOKEN", "scheme": "token", "header": "Authorization"},
                "pipelock": {"tls_passthrough": False},
            },
            {"host": "*.Example.com"},
        ]
    },
}


def _load(files: dict[str, str | dict[str, Any]], main: str = "profiles/dev.toml") -> Profile:
    """Load from memory; a table is written in the form that its file's name asks for."""

    def read(name: str) -> bytes:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return _text(name, files[name]).encode()

    return load(main, read, provider_fields=FIELDS)


def _text(name: str, content: str | dict[str, Any]) -> str:
    if isinstance(content, str):
        return content
    return tomli_w.dumps(content) if name.endswith(".toml") else json.dumps(content)


def _one(document: dict[str, Any], name: str = "profiles/dev.toml") -> Profile:
    return _load({name: document}, name)


def _with(**tables: Any) -> dict[str, Any]:
    return {"agent_provider": {"template": "shell"}, **tables}


def test_defaults() -> None:
    profile = _one(_with())
    assert profile == Profile(
        name="dev",
        agent=AgentProvider(template="shell", auth_token="", forward_host_credentials=False, version="", command=()),
        resources=Resources(cpus=2, memory=4 * 2**30, pids=512),
        routes=(),
        env=(),
        workspace=Workspace(mode="bind", path=".", read_only=()),
        runtime="auto",
        isolation=None,
        home="kept",
    )


def test_everything_given() -> None:
    auth = Auth(token_ref="GITHUB_TOKEN", scheme="token", header="authorization")
    first = Route(
        host="api.github.com",
        port=8443,
        methods=("GET", "POST"),
        paths=("/repos/**", "/user"),
        auth=auth,
        tls_passthrough=False,
    )
    assert _one(FULL) == Profile(
        name="dev",
        agent=AgentProvider(
            template="codex", forward_host_credentials=True, version="0.169.0", command=("codex", "--x")
        ),
        resources=Resources(cpus=1.5, memory=512 * 2**20, pids=100),
        routes=(first, Route(host="*.example.com")),
        env=(("ANSWER", "no"), ("EDITOR", "vim"), ("RUST_LOG", "info")),
        workspace=Workspace(mode="bind", path="src", read_only=("docs", "a/b")),
        runtime="docker",
        isolation="container",
        home="ephemeral",
    )


@pytest.mark.parametrize("name", ["profiles/dev.toml", "profiles/dev.yaml", "elsewhere/dev.yml"])
def test_the_form_of_the_file_does_not_matter(name: str) -> None:
    profile = _one(FULL, name)
    assert profile == _one(FULL)
    assert hash(profile) == hash(_one(FULL))
    assert profile.routes[1].origin == f"{name} egress.routes[1]"


def test_the_yaml_of_a_person_equals_the_toml_of_a_person() -> None:
    as_toml = """
        agent_provider.template = "shell"
        env = { FLAG = "no", DAY = "2026-01-01" }
        [[egress.routes]]
        host = "api.example.com"
        methods = ["GET"]
        auth = { token_ref = "TOKEN" }
    """
    as_yaml = (
        "agent_provider: {template: shell}\nenv:\n  DAY: 2026-01-01\n  FLAG: no\n"
        "egress:\n  routes:\n  - auth: {token_ref: TOKEN}\n    host: api.example.com\n    methods:\n    - GET\n"
    )
    assert _load({"p.toml": as_toml}, "p.toml") == _load({"p.yaml": as_yaml}, "p.yaml")


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 * 2**30), ("512MiB", 2**29), ("1048576KiB", 2**30), ("1TiB", 2**40), (2**29, 2**29)]
)
def test_memory(text: object, size: int) -> None:
    assert _one(_with(resources={"memory": text})).resources.memory == size


def test_later_files_win_and_lists_of_routes_add_up() -> None:
    files: dict[str, str | dict[str, Any]] = {
        "shared/a.toml": _with(
            env={"A": "a", "B": "a"},
            home="ephemeral",
            egress={"routes": [{"host": "a.example"}]},
            workspace={"read_only": ["docs"]},
            resources={"cpus": 1, "pids": 99},
        ),
        "shared/b.yaml": _with(
            env={"B": "b", "C": "b"},
            egress={"routes": [{"host": "b.example"}]},
            workspace={"read_only": ["docs", "lib"]},
            agent_provider={"template": "codex", "command": ["one", "two"]},
        ),
        "profiles/dev.toml": {
            "extends": ["../shared/a.toml", "../shared/b.yaml"],
            "env": {"C": "dev"},
            "egress": {"routes": [{"host": "dev.example"}]},
            "resources": {"cpus": 3},
            "agent_provider": {"command": ["three"]},
        },
    }
    profile = _load(files)
    assert profile.agent == AgentProvider(template="codex", command=("three",))
    assert profile.env == (("A", "a"), ("B", "b"), ("C", "dev"))
    assert profile.home == "ephemeral"
    assert profile.resources == Resources(cpus=3, memory=4 * 2**30, pids=99)
    assert profile.workspace.read_only == ("docs", "lib")
    assert [route.host for route in profile.routes] == ["a.example", "b.example", "dev.example"]
    assert [route.origin for route in profile.routes] == [
        "shared/a.toml egress.routes[0]",
        "shared/b.yaml egress.routes[0]",
        "profiles/dev.toml egress.routes[0]",
    ]
    assert str(profile.where("egress", "routes", 1, "host")) == "shared/b.yaml:1  egress.routes[0].host"
    assert profile.where("env", "A").file == "shared/a.toml"
    assert profile.where("env", "B").file == "shared/b.yaml"


def test_a_merged_profile_equals_the_same_written_flat() -> None:
    top = {key: value for key, value in FULL.items() if key != "egress"}
    split = _load({"base.toml": {"egress": FULL["egress"]}, "dev.toml": {"extends": "base.toml", **top}}, "dev.toml")
    assert split == _one(FULL)


def test_a_diamond_loads_its_base_once() -> None:
    read: list[str] = []
    files = {
        "base.toml": '[[egress.routes]]\nhost = "base.example"\n',
        "left.toml": 'extends = "base.toml"\n',
        "right.toml": 'extends = "./x/../base.toml"\n',
        "dev.toml": 'extends = ["left.toml", "right.toml"]\nagent_provider.template = "shell"\n',
    }

    def reader(name: str) -> bytes:
        read.append(name)
        return files[name].encode()

    profile = load("dev.toml", reader, provider_fields=FIELDS)
    assert [route.host for route in profile.routes] == ["base.example"]
    assert sorted(read) == sorted(files)


def test_long_and_wide_inheritance_is_refused_not_followed() -> None:
    def reader(name: str) -> bytes:
        number = int(Path(name).stem)
        return f'extends = ["{number + 1}.toml", "{number + 1000}.toml"]\nagent_provider.template = "shell"\n'.encode()

    with pytest.raises(ProfileError, match="more than 64 files or 16 levels"):
        load("1.toml", reader, provider_fields=FIELDS)


def test_plan_errors_get_their_lines() -> None:
    route = '[[egress.routes]]\nhost = "api.example.com"\nauth.token_ref = "{}"\n'
    profile = _load(
        {
            "profiles/dev.toml": 'agent_provider.template = "shell"\n\n'
            + route.format("ONE")
            + route.format("TWO")
            + 'methods = ["GET"]\n'
        }
    )
    with pytest.raises(PlanError) as caught:
        compile_routes(profile.routes)
    assert "dev.toml egress.routes[0]" in str(caught.value)
    located = profile.with_lines(caught.value)
    assert "profiles/dev.toml:3 egress.routes[0]" in str(located)
    assert "profiles/dev.toml:6 egress.routes[1]" in str(located)
    assert "  --> profiles/dev.toml:3  egress.routes[0]" in str(located)


def test_sound_profiles_are_not_scanned_for_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toml_source, "lines", None)
    assert _one(FULL).name == "dev"


def test_problems_beyond_fifty_are_left_out() -> None:
    with pytest.raises(ProfileError) as caught:
        _one(_with(**{f"unknown{index}": 1 for index in range(60)}))
    assert len(caught.value.problems) == 51
    assert caught.value.problems[-1].what == "too many problems: only the first 50 are shown"


def test_reading_the_disk(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("agent_provider:\n  template: shell\n")
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "dev.toml"
    path.write_text('extends = "../base.yaml"\n')
    assert load(path, provider_fields=FIELDS) == load(str(path), provider_fields=FIELDS) == _one(_with())


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.toml", "no such file"), ("folder.toml", "not a regular file"), ("x" * 300 + ".toml", "too long")],
)
def test_unreadable_files(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ProfileError, match=message):
        load(tmp_path / name, provider_fields=FIELDS)


def test_a_device_is_not_read() -> None:
    with pytest.raises(ProfileError):
        load("/dev/zero", provider_fields=FIELDS)


def test_the_bottle_owns_what_it_sets() -> None:
    names = [name for name, _ in agent_env.bottle_env()]
    assert names == sorted(set(names))
    assert [name for name in names if not agent_env.owns(name)] == []
    assert not agent_env.owns("RUST_LOG")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "info",
        "/usr/lib/python3.11/site-packages:/opt/Tool2/bin",
        "550e8400-e29b-41d4-a716-446655440000",
        "en_GB.UTF-8",
        "https://api.example.com/v1/models?limit=100",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "-Xmx512m -XX:+UseG1GC -Dfile.encoding=UTF-8",
        "python3-dist2-x86-64-linux-gnu-release",
        "AKeyThatIsJustAVeryLongCamelCaseName12",
        "scikit-learn, task-runner-with-a-long-name, risk-assessment-2024",
        "org.springframework.boot.autoconfigure.Exclude1",
        "a1,b2,c3,d4,e5,f6,g7,h8,i9,j10",
        "1234567890123456789012345678901234567890",
        "PLACEHOLDER",
        "egress-placeholder",
    ],
)
def test_ordinary_env_values_are_no_secrets(value: str) -> None:
    assert _one(_with(env={"A": value})).env == (("A", value),)


@pytest.mark.parametrize(
    "host",
    [
        "a.example",
        "*.example.com",
        "xn--bcher-kva.example",
        "a-b.c--d.example",
        "1.example.com",
        "3com.com",
        "gitea",
        "*.githubusercontent.com",
        "egress.example.com",
        "a.b.c.d.e.f.example.com",
        "0x7f.example",
        "*.oaiusercontent.com",
        "a" * 63 + ".example",
    ],
)
def test_ordinary_hosts(host: str) -> None:
    assert _one(_with(egress={"routes": [{"host": host}]})).routes == (Route(host=host),)


@pytest.mark.parametrize("method", ["PROPFIND", "M-SEARCH", "VERSION-CONTROL", "QUERY"])
def test_any_method_of_the_registry(method: str) -> None:
    assert _one(_with(egress={"routes": [{"host": "a.example", "methods": [method]}]})).routes[0].methods == (method,)


@pytest.mark.parametrize("header", ["X-Api-Key", "Cookie", "private-token", "authorization", "api_key"])
def test_ordinary_headers_of_credentials(header: str) -> None:
    route = {"host": "a.example", "auth": {"token_ref": "T", "header": header, "scheme": ""}}
    auth = _one(_with(egress={"routes": [route]})).routes[0].auth
    assert auth == Auth(token_ref="T", scheme="", header=header.lower())


@pytest.mark.parametrize("path", [".", "src", "a b/ü", "..a/b..", "100%", "a/.git"])
def test_ordinary_paths_in_the_workspace(path: str) -> None:
    assert _one(_with(workspace={"read_only": [path]})).workspace.read_only == (path,)


def test_same_host_with_other_methods_or_paths_is_no_duplicate() -> None:
    routes = [
        {"host": "a.example", "methods": ["GET"]},
        {"host": "a.example", "methods": ["PUT"]},
        {"host": "a.example", "port": 8443},
    ]
    assert len(_one(_with(egress={"routes": routes})).routes) == 3


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.lists(st.none(), max_size=2),
    st.sampled_from(
        [
            "*",
            "..",
            "%2e%2e",
            "\u0000",
            "\u202e",
            "::1",
            "0x7f.1",
            "a.b:1",
            "http://",
            "//",
            "@",
            "x" * 5000,
            "eyJhbGciOiJI.eyJz",
            10**400,
            -1,
        ]
    ),
)


def _places(value: object, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(inner for key, item in pairs for inner in _places(item, (*place, key)))]


def _problems(name: str, text: bytes) -> tuple[Problem, ...]:
    try:
        load(name, lambda _: text, provider_fields=FIELDS)
    except ProfileError as e:
        return e.problems
    return ()


@pytest.mark.parametrize("text", ["'[key]' = 1", "[env]\n'[key]' = 1", "[env]\n'[key]' = 'x'"])
def test_a_key_that_looks_like_no_key_is_an_error_like_any(text: str) -> None:
    with pytest.raises(ProfileError, match=r"\[key\]|env"):
        load("dev.toml", lambda _: text.encode(), provider_fields={})


def _quick(call: Callable[[], object]) -> float:
    """The best of some runs in seconds: what the work takes when the machine leaves it alone."""
    times = []
    for _ in range(30):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def test_loading_is_quick() -> None:
    text = tomli_w.dumps(FULL).encode()
    assert _quick(lambda: load("d.toml", lambda _: text, provider_fields=FIELDS)) < 0.005
