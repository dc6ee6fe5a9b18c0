"""Changes as a reviewer meets them: two profiles a folder, and beside them exactly what `diff` says, in each format.

`python -m tests.reviews.test_reviews` writes what is expected: read its diff. A folder with `expected.json` is
shown in that format too.
"""

import json
from pathlib import Path

import pytest

from bottlegen.authority import authority, authority_of
from bottlegen.bundle import Bundle
from bottlegen.diff import compare, file_changes, verdict, widened
from bottlegen.diff_text import Page, Side, document, markdown, terminal
from bottlegen.facts import AREAS
from bottlegen.picture import picture
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile, preview
from bottlegen.profile import Profile

HERE = Path(__file__).parent
OF_BOTTLEGEN = {"hardening", "images", "files"}
"""Areas that no profile changes by itself; altered bundles are in tests/unit/test_authority.py."""

CASES = sorted(path.parent for path in HERE.glob("*/before.toml"))


def page(case: Path, *, files: bool = False) -> Page:
    """Both sides are read as the profile `dev`, as it was and as it is."""
    before, after = (_built(case / name) for name in ("before.toml", "after.toml"))
    after_authority = authority(after)
    changes = compare(authority(before), after_authority)
    return Page(
        name="dev",
        before=Side(label="profiles/dev.toml at main", hash=before.hash),
        after=Side(label="profiles/dev.toml", hash=after.hash),
        changes=changes,
        files=file_changes(before, after) if files else (),
        alike=before.hash == after.hash,
        drawn=picture(after_authority, widened(changes)) if changes else None,
    )


def _built(path: Path) -> Bundle:
    return build(_profile(path), load_pins())


def _profile(path: Path) -> Profile:
    return load_profile("dev.toml", lambda _: path.read_bytes())


def rendered(case: Path) -> dict[str, str]:
    """What each file of expectations should hold; hashes of bundles are left out, for they move with every image."""
    shown = page(case)
    tree = json.loads(document(shown))
    for side in ("before", "after"):
        assert tree[side].pop("hash").startswith("sha256-")
    texts = {
        "expected.txt": terminal(shown),
        "expected.md": markdown(shown),
        "expected.json": json.dumps(tree, indent=2) + "\n",
    }
    return {name: text for name, text in texts.items() if name != "expected.json" or (case / name).exists()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_review_reads_as_expected(case: Path) -> None:
    assert {name: (case / name).read_text() for name in rendered(case)} == rendered(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_differs_from_itself(case: Path) -> None:
    bundle = _built(case / "after.toml")
    assert compare(authority(bundle), authority(bundle)) == ()
    assert file_changes(bundle, bundle) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_unrendered_bundle_permits_the_same(case: Path) -> None:
    """`diff` reads profiles without rendering what their sidecars get."""
    view = preview(_profile(case / "after.toml"), load_pins())
    assert authority_of(view) == authority(view.bundle)


def test_every_verdict_and_area_has_a_case() -> None:
    assert len(CASES) >= 30
    assert {change.area for case in CASES for change in page(case).changes} >= set(AREAS) - OF_BOTTLEGEN
    assert {verdict(page(case).changes) for case in CASES} == {"widens", "narrows", "other", "none"}


def test_files_are_shown_on_demand() -> None:
    shown = page(HERE / "method-added", files=True)
    assert {file.path for file in shown.files} == {"manifest.json", "routes.json", "sidecars/egress/envoy.json"}
    text = terminal(shown)
    assert "--- before/routes.json\n+++ after/routes.json\n" in text
    assert '+        "POST"' in text
    folded = markdown(shown)
    assert "<details><summary>files (3)</summary>\n\n```diff\n--- before/manifest.json\n" in folded
    assert json.loads(document(shown))["files"][1]["path"] == "routes.json"


def test_a_page_too_long_for_a_comment_leaves_the_files_out() -> None:
    case = HERE / "everything-at-once"
    few, many = page(case), page(case, files=True)
    long = Page(
        name="dev", before=few.before, after=few.after, changes=few.changes, files=many.files * 50, drawn=few.drawn
    )
    assert markdown(long) == markdown(few)


if __name__ == "__main__":
    for folder in CASES:
        for name, text in rendered(folder).items():
            (folder / name).write_text(text)
