"""What the bundles of the project around here ask of this host; nothing is built, and a broken one is a finding."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bottlegen.bundle import read
from bottlegen.errors import BundleError
from bottlegen.locate import places, project_profiles, shipped
from runtime.doctor.finding import Finding
from runtime.secrets import read_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`secrets` are pairs of a secret's name and a bundle that names it."""

    isolations: tuple[str, ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()

    def wanted(self) -> dict[str, Sequence[str]]:
        """Bundles by the name of the secret."""
        names = {ref for ref, _ in self.secrets}
        return {name: sorted(bundle for ref, bundle in self.secrets if ref == name) for name in names}


def asked(cwd: Path) -> Asked:
    """Of the nearest `profiles` folder's bundles; nothing of those that ship with bottlegen, which few all use."""
    folder = project_profiles(cwd)
    if folder.parent == shipped():
        return Asked()
    isolations, secrets, findings = [], [], []
    for place in places(folder):
        if not place.bundle.exists():
            continue
        try:
            bundle = read(place.bundle)
        except BundleError as e:
            findings.append(_broken(place.name, e))
            continue
        isolations.append(bundle.manifest.isolation)
        secrets += [(ref, place.name) for ref in set(read_tokens(bundle.data("tokens.json")).values())]
    return Asked(isolations=tuple(isolations), secrets=tuple(secrets), findings=tuple(findings))


def _broken(name: str, error: BundleError) -> Finding:
    return Finding(
        level="warn",
        area="bundles",
        what=error.problems[0].what,
        why="`up` runs committed bundles only, and not this one",
        fix=error.problems[0].fix or f"bottlegen build --profile {name}",
    )
