"""A host that cannot boot microVMs is told from one that is not set up, before anything is made."""

from dataclasses import replace

import pytest

from runtime.smolmachines.preflight import Facts, problems, suspicious

FINE = Facts(
    euid=1000, system="Linux", machine="x86_64", installed="1.32.2", series="1.32.", cli="1.32.2", code="", reason="",
    flags=frozenset({"fpu", "vmx"}), paravirtual=False, kvm=True,
)  # fmt: skip


def told(**change: object) -> str:
    return "\n".join(f"{found.what} | {found.fix}" for found in problems(replace(FINE, **change), lambda: "it died"))  # type: ignore[arg-type]


def test_a_fine_host_is_fine_and_nothing_is_booted():
    assert problems(FINE, lambda: pytest.fail("booted")) == []
    assert problems(replace(FINE, machine="aarch64", flags=frozenset())) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kvm": False}, "this host cannot boot microVMs: there is no /dev/kvm"),
        ({"system": "Darwin"}, "on Linux alone so far, not on Darwin"),
        ({"code": "UNSUPPORTED_PLATFORM", "reason": "needs glibc"}, "this host cannot boot microVMs: needs glibc"),
        ({"paravirtual": True}, "this host cannot boot microVMs: its KVM is paravirtual (kvm_pvm) (it died)"),
        ({"flags": frozenset({"fpu"})}, "shows no hardware virtualisation (vmx, svm) (it died)"),
        ({"installed": ""}, "not installed | pip install 'bottlegen[microvm]'"),
        ({"installed": "1.33.0", "cli": "1.33.0"}, "smolmachines 1.33.0 (its smol-vmm: 1.33.0) is not 1.32.*"),
        ({"cli": "1.32.1"}, "smolmachines 1.32.2 (its smol-vmm: 1.32.1) is not 1.32.*"),
        ({"cli": ""}, "does not run"),
        ({"euid": 0}, "run as a user of group kvm"),
        ({"code": "KVM_UNAVAILABLE", "reason": "KVM permission denied: Cannot access /dev/kvm"}, "usermod -aG kvm"),
        ({"code": "HYPERVISOR_UNAVAILABLE", "reason": "libkrun was not found"}, "libkrun was not found"),
    ],
)
def test_what_is_amiss_is_named_with_a_fix(change, words):
    assert words in told(**change)


def test_a_boot_settles_a_doubt():
    assert problems(replace(FINE, paravirtual=True), lambda: "") == []
    assert suspicious(FINE) == ""


def test_without_a_boot_a_doubt_is_enough():
    assert problems(replace(FINE, paravirtual=True)) != []


def test_what_cannot_be_is_said_before_what_could_be_mended():
    assert [found.what for found in problems(replace(FINE, kvm=False, euid=0, installed=""))] == [
        "this host cannot boot microVMs: there is no /dev/kvm"
    ]
