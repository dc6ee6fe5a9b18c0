"""The form of a profile file: every field with its type, rule, default and description, also for the reference."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from bottlegen import fields, git_fields, hostname
from bottlegen.wording import Refusal

DEFAULT_MEMORY = 4 * 2**30


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_empty(value: list[str]) -> list[str]:
    if not value:
        raise Refusal("the list is empty", "leave the field out, or write what it should hold")
    return value


Host = Annotated[str, AfterValidator(hostname.parse)]
Method = Annotated[str, AfterValidator(fields.method)]
PathRule = Annotated[str, AfterValidator(fields.path_pattern)]
TokenRef = Annotated[str, AfterValidator(fields.token_ref)]
RelativePath = Annotated[str, AfterValidator(fields.relative_path)]
RootfsName = Annotated[str, AfterValidator(fields.rootfs_name)]


_SIZE_SCHEMA = WithJsonSchema({"type": ["string", "integer"], "pattern": "^[0-9]{1,9}[KMGT]iB$"})


class _Table(BaseModel):
    """A table refuses keys it does not know, and types it would have to convert."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class AuthTable(_Table):
    """The credential that the egress sidecar adds; the agent never has it."""

    token_ref: TokenRef = Field(
        description="Name of the secret on the host, like an environment variable; never its value."
    )
    scheme: Annotated[str, AfterValidator(fields.scheme)] = Field(
        default="Bearer", description="Word before the value, such as `Bearer` or `token`; empty for the value alone."
    )
    header: Annotated[str, AfterValidator(fields.header)] = Field(
        default="authorization", description="Header that carries it, in lower case, such as `x-api-key`."
    )


class PatternTable(_Table):
    """One more thing to look for."""

    name: Annotated[str, AfterValidator(fields.pattern_name)] = Field(description="What a refusal calls it.")
    regex: Annotated[str, AfterValidator(fields.regex)] = Field(
        description="What it looks like, as a regular expression without look-around (RE2)."
    )


class InspectionTable(_Table):
    """Puts pipelock behind egress: the content of what leaves is scanned for secrets, but for routes that pass it by
    (`pipelock.tls_passthrough`). An empty table is enough."""

    mode: Literal["strict", "balanced", "audit"] = Field(
        default="strict",
        description="`strict` allows the hosts of the routes alone, `balanced` leaves that to egress, `audit` logs.",
    )
    action: Literal["block", "warn"] = Field(default="block", description="What becomes of a request with a finding.")
    patterns: list[PatternTable] = Field(default=[], description="What to look for besides pipelock's own patterns.")
    max_body: Annotated[int, BeforeValidator(fields.body_size), _SIZE_SCHEMA] = Field(
        default=32 * 2**20, description="Largest request body, as `32MiB` or bytes; a larger one is refused."
    )
    max_response: Annotated[int, BeforeValidator(fields.body_size), _SIZE_SCHEMA] = Field(
        default=128 * 2**20, description="Largest answer, as `128MiB` or bytes; a larger one is refused."
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=6000, description="Requests a minute to the hosts of one registered domain; more are answered with 429."
    )


class PipelockTable(_Table):
    """Inspection of what leaves the bottle."""

    tls_passthrough: bool | None = Field(
        default=None,
        description="Pass this host's traffic without content inspection; all routes of a host must agree.",
    )


class RouteTable(_Table):
    """One thing the agent may reach; the order of routes carries no meaning. What no route allows is refused."""

    host: Host = Field(
        description="Exact name, or `*.suffix` for any depth below it; lower-cased, a trailing dot dropped."
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=443, description="TCP port of the host; TLS is spoken on every port."
    )
    methods: Annotated[list[Method], AfterValidator(_not_empty)] | None = Field(
        default=None, description="HTTP methods allowed; any when left out. CONNECT and TRACE never are."
    )
    paths: Annotated[list[PathRule], AfterValidator(_not_empty)] | None = Field(
        default=None,
        description="Paths allowed, written decoded; any when left out. `*` covers one segment or a part of it, "
        "a last `/**` the path itself and everything below.",
    )
    auth: AuthTable | None = Field(
        default=None, description="Credential that the egress sidecar adds to requests of this route."
    )
    pipelock: PipelockTable = Field(default=PipelockTable(), description="Settings of the inspecting proxy.")


class TokenTable(_Table):
    """A secret for a service of a known kind: `cred-proxy` adds it, and the agent's tools find their way there."""

    kind: Literal["anthropic", "github", "gitea", "npm"] = Field(
        description="Which service: its addresses, the path that stands for it, and how it wants its token."
    )
    token_ref: TokenRef = Field(description="Name of the secret on the host; never its value.")
    url: Annotated[str, AfterValidator(hostname.instance_url)] | None = Field(
        default=None,
        description="Address of the instance, such as `https://git.example.org`: for `gitea`, which needs it.",
    )
    pipelock: PipelockTable = Field(default=PipelockTable(), description="Settings of the inspecting proxy.")

    @model_validator(mode="after")
    def _url_for_gitea(self) -> Self:
        if self.kind == "gitea" and not self.url:
            raise Refusal("kind 'gitea' needs the url of its instance", 'url = "https://git.example.org"')
        if self.kind != "gitea" and self.url:
            raise Refusal(f"kind '{self.kind}' has one address and takes no url", "remove url")
        return self


class EgressTable(_Table):
    """The agent's only way out."""

    routes: list[RouteTable] = Field(default=[], description="What the agent may reach; the order carries no meaning.")


RefPattern = Annotated[str, AfterValidator(git_fields.ref)]


class GitRemoteTable(_Table):
    """One repository that the agent reaches through the gate, with plain git; the gate holds the credential and refuses
    a push that this table does not allow before anything of it leaves."""

    name: Annotated[str, AfterValidator(git_fields.name)] = Field(
        description="What the gate calls it: `git://git-gate/NAME`; the agent may use the URL as well."
    )
    url: Annotated[str, AfterValidator(git_fields.url)] = Field(
        description="Where it is, `https://…` or `ssh://git@…`, without any credential."
    )
    token_ref: TokenRef | None = Field(
        default=None, description="Name of the host secret that is the password over https; none for a public one."
    )
    username: Annotated[str, AfterValidator(git_fields.username)] = Field(
        default="x-access-token", description="User name that goes with the token; most hosts take any."
    )
    ssh_key_ref: TokenRef | None = Field(
        default=None, description="Name of the host secret that is the private key, for an `ssh://` URL."
    )
    known_hosts: list[Annotated[str, AfterValidator(git_fields.host_key)]] = Field(
        default=[],
        description="Public keys of the host, as `KIND KEY`: required for an `ssh://` URL; others are refused.",
    )
    fetch: Annotated[list[RefPattern], AfterValidator(_not_empty)] = Field(
        default=["refs/heads/**", "refs/tags/**"],
        description="Refs that the agent may read, beside those that it may push. `agent/*` is of branches; `*` covers "
        "one part of a name, a last `/**` all below.",
    )
    push: list[Annotated[str, AfterValidator(git_fields.pushed)]] = Field(
        default=[], description="Refs that the agent may write, branches as in `agent/**`; none when left out."
    )
    tags: list[Annotated[str, AfterValidator(git_fields.tag)]] = Field(
        default=[], description="Tags that the agent may make, as in `v*`; none when left out."
    )
    force: bool = Field(default=False, description="Whether a push may drop commits of those refs, or move those tags.")
    delete: bool = Field(default=False, description="Whether a push may delete those refs.")
    max_size: Annotated[
        int,
        BeforeValidator(git_fields.max_size),
        WithJsonSchema({"type": ["string", "integer"], "pattern": "^[0-9]{1,9}[KMGT]iB$"}),
    ] = Field(default=100 * 2**20, description="Bytes of one push, as they travel: `100MiB` or a number.")
    secret_scan: bool = Field(
        default=True, description="Whether a push whose new commits hold what looks like a credential is refused."
    )

    @model_validator(mode="after")
    def _one_transport(self) -> "GitRemoteTable":
        git_fields.check_transport(self.url, self.token_ref, self.ssh_key_ref, self.known_hosts)
        return self


class GitTable(_Table):
    """Repositories that are reached through the gate."""

    remotes: list[GitRemoteTable] = Field(default=[], description="One table for each repository.")


class AgentProviderTable(_Table):
    """Which agent the bottle serves."""

    template: str | None = Field(
        default=None,
        description="Name of the provider, such as `codex`, `claude` or `shell`. "
        "Required, here or in a file of `extends`.",
    )
    auth_token: TokenRef | None = Field(
        default=None,
        description="Name of the host secret that holds a token of the agent's account. "
        "Only for providers that take one.",
    )
    api_key: TokenRef | None = Field(
        default=None,
        description="Name of the host secret that holds a key of the agent's model API, for who pays by use and has no "
        "login; only for providers that take one.",
    )
    forward_host_credentials: bool | None = Field(
        default=None,
        description="Use the login of the agent on the host; its tokens stay outside of the bottle. "
        "Only for providers that can.",
    )
    model: Annotated[str, AfterValidator(fields.model)] | None = Field(
        default=None,
        description="Model that the agent starts with. Where an agent knows several APIs it is written `api/model` and "
        "decides which of them the bottle reaches. Only for providers that take one.",
    )
    version: Annotated[str, AfterValidator(fields.version)] | None = Field(
        default=None, description="Version of the agent; the pinned one when left out."
    )
    command: Annotated[list[Annotated[str, AfterValidator(fields.argument)]], AfterValidator(_not_empty)] | None = (
        Field(default=None, description="Command to start instead of the provider's own.")
    )


class RootfsTable(_Table):
    """A root of your own for the agent instead of the image that bottlegen builds: one of `directory` and `archive`.

    A bottle starts when what this host has there is what `hash` says, and in no other case. See `docs/nix.md`.
    """

    directory: RootfsName | None = Field(
        default=None,
        description="Tree with all that the agent needs, relative to the project (the folder that holds `profiles`), "
        "or a link to one. `host.toml` can say that it lies elsewhere.",
    )
    archive: RootfsName | None = Field(
        default=None,
        description="Image as `docker save` or Nix's `dockerTools` write it, or an OCI layout, as one tar file, "
        "relative to the project. Its files count, not its settings.",
    )
    hash: Annotated[str, AfterValidator(fields.nar_hash)] | None = Field(
        default=None,
        description="SHA-256 of its Nix archive as `sha256-…`: what `bottlegen hash --path PATH` prints, "
        "and `nix hash path`.",
    )


class WorkspaceTable(_Table):
    """The directory the agent works in."""

    mode: Literal["bind", "none"] = Field(
        default="bind", description="`bind` shows a directory of the host to the agent, `none` gives it an empty one."
    )
    path: RelativePath = Field(default=".", description="Directory to bind, relative to where the bottle is started.")
    read_only: list[RelativePath] = Field(
        default=[], description="Paths inside the workspace that the agent cannot write."
    )


class ResourcesTable(_Table):
    """Limits of the agent."""

    cpus: Annotated[
        float, AfterValidator(fields.cpus), WithJsonSchema({"type": "number", "minimum": 0.1, "maximum": 1024})
    ] = Field(default=2.0, description="Processors, in steps of a thousandth.")
    memory: Annotated[
        int,
        BeforeValidator(fields.memory),
        _SIZE_SCHEMA,
    ] = Field(default=DEFAULT_MEMORY, description="Memory as `512MiB`, `4GiB` or a number of bytes.")
    pids: Annotated[int, Field(ge=16, le=4_194_304)] = Field(default=512, description="Processes and threads at once.")


class ProfileTable(_Table):
    """A bottle profile."""

    extends: Annotated[
        list[str],
        BeforeValidator(_one_or_more),
        WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
    ] = Field(
        default=[],
        description="Profiles to start from: paths relative to this file, a later one wins over an earlier one and "
        "this one over all. Tables are merged; lists of tables and read-only paths are added up, the rest is replaced.",
    )
    agent_provider: AgentProviderTable = Field(
        default=AgentProviderTable(), description="Which agent the bottle serves."
    )
    egress: EgressTable = Field(default=EgressTable(), description="The agent's only way out.")
    tokens: list[TokenTable] = Field(
        default=[], description="Secrets by kind of service, in the order that counts; each kind once, `gitea` by host."
    )
    pipelock: InspectionTable | None = Field(
        default=None, description="Scans what leaves the bottle for secrets; left out, nothing is scanned."
    )
    git: GitTable = Field(default=GitTable(), description="Repositories that are reached through the gate.")
    rootfs: RootfsTable = Field(default=RootfsTable(), description="A root of your own for the agent.")
    env: dict[Annotated[str, AfterValidator(fields.env_name)], Annotated[str, AfterValidator(fields.env_value)]] = (
        Field(
            default={},
            description="Variables of the agent's environment, as text. Not for secrets, and not for names the "
            "bottle sets itself.",
        )
    )
    workspace: WorkspaceTable = Field(default=WorkspaceTable(), description="The directory the agent works in.")
    resources: ResourcesTable = Field(default=ResourcesTable(), description="Limits of the agent.")
    runtime: Literal["auto", "docker", "smolmachines", "bubblewrap"] = Field(
        default="auto", description="What runs the bottle; `auto` takes the strongest the host has."
    )
    isolation: Literal["vm", "container", "process"] | None = Field(
        default=None, description="Weakest isolation that is acceptable, `vm` being the strongest."
    )
    home: Literal["kept", "ephemeral"] = Field(
        default="kept", description="Whether the agent's home outlives the bottle, so that it can resume."
    )
    on_audit_failure: Literal["block", "warn"] = Field(
        default="block",
        description="What happens when audit lines cannot be written, as on a full disk: `block` closes the way out, "
        "`warn` goes on and records how many lines are lost.",
    )
    audit_queries: bool = Field(
        default=False, description="Whether audit lines also hold the query of a URL, which may hold secrets."
    )


def json_schema() -> dict[str, Any]:
    """The JSON schema of a profile, for editors."""
    schema: dict[str, Any] = _without_null(ProfileTable.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_null(schema: Any) -> Any:
    """A field that may be left out may still not be null."""
    if isinstance(schema, list):
        return [_without_null(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    kept = {
        key: value
        for key, value in schema.items()
        if key != "anyOf" and not (key == "default" and (value is None or isinstance(value, dict)))
    }
    only = choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
    return {key: _without_null(value) for key, value in {**only, **kept}.items()}
