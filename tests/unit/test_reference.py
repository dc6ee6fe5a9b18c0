"""The committed reference is the one that the form gives today, and leaves out no field."""

from pathlib import Path

from bottlegen.profile_schema import RouteTable, json_schema
from bottlegen.reference import markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "profile.md"


def test_the_committed_reference_is_current() -> None:
    assert DOCUMENT.read_text() == markdown(), "run: python -m bottlegen.reference > docs/profile.md"


def test_every_field_is_described() -> None:
    tables = {"ProfileTable": json_schema(), **json_schema()["$defs"]}
    assert len(tables) == 14
    for name, table in tables.items():
        for field, schema in table["properties"].items():
            if "$ref" in schema or field in ("routes", "patterns", "tokens", "remotes"):
                assert f"{field}`\n" in markdown() or f"{field}[]`\n" in markdown(), f"{name}.{field} has no section"
            else:
                assert f"| `{field}` |" in markdown(), f"{name}.{field}"
                assert schema["description"] in markdown(), f"{name}.{field}"


def test_the_schema_allows_no_null_and_no_other_keys() -> None:
    assert "null" not in str(json_schema())
    assert all(table["additionalProperties"] is False for table in json_schema()["$defs"].values())
    assert json_schema()["$defs"]["RouteTable"]["required"] == ["host"]
    assert set(json_schema()["$defs"]["RouteTable"]["properties"]) == set(RouteTable.model_fields)
