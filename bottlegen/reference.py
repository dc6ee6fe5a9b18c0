"""The reference of profiles as Markdown, made from the form itself: `python -m bottlegen.reference > docs/profile.md`.

With `--schema` it prints the JSON schema instead.
"""

import json
import sys
import typing
from collections.abc import Iterator
from types import UnionType
from typing import Any

from pydantic import BaseModel, WithJsonSchema
from pydantic.fields import FieldInfo

from bottlegen.profile_schema import ProfileTable, json_schema

_START = """\
# Profile reference

<!-- Made by `python -m bottlegen.reference > docs/profile.md` from the descriptions in bottlegen/profile_schema.py. -->

A profile is a TOML or YAML file; its name without the ending is the name of the profile (`a-z`, `0-9` and `-`). Both
forms have the same fields, and equal content is the same profile. YAML is read by the core schema of YAML 1.2 (`no` and
`on` are text) without tags, anchors, aliases and merge keys. A key that does not stand here is an error.
"""
_EXAMPLE = """\
## Example

```toml
extends = ["base.toml"]

[agent_provider]
template = "codex"
forward_host_credentials = true

[env]
RUST_LOG = "info"

[workspace]
read_only = ["docs"]

[[egress.routes]]
host = "api.github.com"
methods = ["GET", "POST"]
paths = ["/repos/example/**"]
auth = { token_ref = "GITHUB_TOKEN" }
```
"""
_JSON_TYPES = {"string": "text", "integer": "integer", "array": "list of text"}
_TYPES = {str: "text", int: "integer", float: "number", bool: "boolean"}


def markdown() -> str:
    """The whole reference, with one section to a table."""
    return "\n".join((_START, *_sections(ProfileTable, ""), _EXAMPLE))


def _sections(table: type[BaseModel], name: str) -> Iterator[str]:
    """The section of `table` and of every table in it, in the order of the fields."""
    heading = f"## `{name}`" if name else "## Top level"
    rows = [_row(key, field) for key, field in table.model_fields.items() if not _inner(field)]
    head = ["| field | type | default | meaning |", "|---|---|---|---|"] if rows else []
    yield "\n".join((heading, "", _sentence(table), "", *head, *rows, *([""] if rows else [])))
    for key, field in table.model_fields.items():
        for inner, suffix in _inner(field):
            yield from _sections(inner, f"{name}.{key}{suffix}".removeprefix("."))


def _sentence(table: type[BaseModel]) -> str:
    return (table.__doc__ or "").strip()


def _row(key: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else _default(field.default)
    return f"| `{key}` | {_written(field)} | {default} | {field.description} |"


def _default(value: object) -> str:
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, int) and value >= 2**30 and value % 2**30 == 0:
        return f'`"{value // 2**30}GiB"`'
    return f"`{json.dumps(value)}`"


def _written(field: FieldInfo) -> str:
    """How a person writes the value: what the schema says when that is more than the type."""
    for mark in field.metadata:
        if isinstance(mark, WithJsonSchema) and isinstance(types := (mark.json_schema or {}).get("type"), list):
            return " or ".join(_JSON_TYPES[name] for name in types)
    return _type(field.annotation)


def _type(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin in (UnionType, typing.Union):
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "table of text"
    return _TYPES[typing.cast("type", annotation)]


def _inner(field: FieldInfo) -> list[tuple[type[BaseModel], str]]:
    """The tables that a field holds, with `[]` when it is a list of them."""
    found = []
    pending: list[tuple[Any, str]] = [(field.annotation, "")]
    while pending:
        annotation, suffix = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append((annotation, suffix))
        suffix = "[]" if typing.get_origin(annotation) is list else suffix
        pending += [(inner, suffix) for inner in typing.get_args(annotation)]
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n" if "--schema" in sys.argv else markdown())
