"""What is wrong with one profile file: every problem at once, at the line where the value stands, with a fix."""

import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from bottlegen import hostname
from bottlegen.errors import Problem
from bottlegen.profile_schema import ProfileTable
from bottlegen.source import Source
from bottlegen.wording import Keys, Refusal, dotted, shown

_WANTED = {
    "string_type": ("text", "put it in double quotes"),
    "int_type": ("a whole number", "write it without quotes and decimals"),
    "int_from_float": ("a whole number", "write it without decimals"),
    "float_type": ("a number", "write it without quotes"),
    "bool_type": ("true or false", "write true or false, without quotes"),
    "list_type": ("a list", "put it in brackets: [ … ]"),
    "model_type": ("a table", "write it as a table of keys"),
    "dict_type": ("a table", "write it as a table of keys"),
}
_EXAMPLES = {"host": 'host = "api.example.com"', "token_ref": 'token_ref = "GITHUB_TOKEN"'}
_LONGEST_GUESS = 40
MOST = 200
"""Mistakes of one file that are worked out: each costs time, and a file of a mebibyte can hold many."""


def read(source: Source) -> tuple[ProfileTable | None, list[Problem]]:
    """The validated file, or None with everything that is wrong in it, in the order of its lines."""
    found = [(flaw.keys, flaw.what, flaw.fix) for flaw in source.flaws[:MOST]]
    flawed = {flaw.keys for flaw in source.flaws}
    table = None
    try:
        table = ProfileTable.model_validate(source.data)
    except ValidationError as e:
        # Only what is quoted with care may survive: the exception itself holds the refused values.
        mistakes = e.errors(include_url=False)[:MOST]
        found += [mistake for raw in mistakes if (mistake := _mistake(raw))[0] not in flawed]
    found += _twins(source.data)
    if not found:
        return table, []
    problems = (Problem(what=what, where=source.where(keys), fix=fix) for keys, what, fix in found)
    return None, sorted(problems, key=lambda problem: (problem.where.line if problem.where else None) or 0)


def unknown(keys: Keys, names: Iterable[str], noun: str = "field") -> tuple[str, str]:
    """The words for a name that is none of `names`."""
    name, names = str(keys[-1]), sorted(names)
    close = difflib.get_close_matches(name, names, n=1) if len(name) <= _LONGEST_GUESS else []
    guess = f" - did you mean '{close[0]}'?" if close else ""
    return f"unknown {noun} {shown(name)}", f"use one of {', '.join(names)}{guess}"


def _mistake(error: Mapping[str, Any]) -> tuple[Keys, str, str]:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    keys: Keys = error["loc"]
    if keys[-1] == "[key]" and len(keys) > 1 and kind != "extra_forbidden":
        keys = keys[:-1]  # how the key of a table is told from its value
    if kind == "value_error" and isinstance(context["error"], Refusal):
        return keys, context["error"].what, context["error"].fix
    if kind == "extra_forbidden":
        return (keys, *_unknown_field(keys, value))
    if kind == "missing":
        return keys, f"missing field '{keys[-1]}'", f"add {_EXAMPLES.get(str(keys[-1]), keys[-1])}"
    if kind == "literal_error":
        return keys, f"{_found(value)} is not a value of '{_field(keys)}'", f"use one of {context['expected']}"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return keys, f"'{_field(keys)}' is {value}", f"write a number of {bound}"
    wanted, fix = _WANTED.get(kind, (kind, ""))
    if kind == "string_type" and isinstance(value, list | dict):
        fix = "write a single text in double quotes"
    return keys, f"'{_field(keys)}' is {_found(value)}, expected {wanted}", fix


def _field(keys: Keys) -> str:
    """The name of the innermost key, with the index of a list item."""
    last = max((index for index, key in enumerate(keys) if isinstance(key, str)), default=0)
    return dotted(keys[last:])


def _unknown_field(keys: Keys, value: object) -> tuple[str, str]:
    if keys[:2] == ("egress", "routes") and keys[3:] == ("role",) and isinstance(value, str):
        return f"unknown role {shown(value)}", "remove the line: a provider brings its own routes and credentials"
    return unknown(keys, _table_at(keys[:-1]).model_fields)


def _table_at(keys: Keys) -> type[BaseModel]:
    table: type[BaseModel] = ProfileTable
    for key in keys:
        if isinstance(key, str):
            table = next(_tables(table.model_fields[key].annotation))
    return table


def _tables(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _tables(inner)


def _found(value: object) -> str:
    """A value by its type, and itself where it is short and can hold nothing private."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}" if abs(value) < 2**63 else "a number"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"


def _twins(data: Mapping[str, object]) -> Iterator[tuple[Keys, str, str]]:
    """Routes of one file that speak of the same requests; what has another type is reported elsewhere."""
    egress = data.get("egress")
    routes = egress.get("routes") if isinstance(egress, dict) else None
    seen: dict[object, int] = {}
    for index, route in enumerate(routes if isinstance(routes, list) else ()):
        if not isinstance(route, dict) or not (scope := _scope(route)):
            continue
        first = seen.setdefault(scope, index)
        if first != index:
            what = (
                f"route to {shown(str(route['host']))} is written twice: it covers the same as egress.routes[{first}]"
            )
            yield ("egress", "routes", index), what, "remove one of the two, or make their methods or paths differ"


def _scope(route: Mapping[str, object]) -> tuple[object, ...]:
    """Which requests a route covers, however it is spelt; empty when the route is wrong in itself."""
    host, methods, paths = route.get("host"), route.get("methods", []), route.get("paths", [])
    if not isinstance(host, str) or not isinstance(methods, list) or not isinstance(paths, list):
        return ()
    try:
        name = hostname.parse(host)
    except Refusal:
        return ()
    any_path = "/**" in paths
    upper = frozenset(str(method).upper() for method in methods)
    return name, str(route.get("port", 443)), upper, frozenset() if any_path else frozenset(map(str, paths))
