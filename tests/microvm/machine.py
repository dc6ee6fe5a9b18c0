"""One run of the bed: a command as an ordinary user in an emulated machine that never outlives this process's call."""

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.microvm import bed, tools

_KERNEL = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr nowatchdog"


def run(command: Sequence[str], *, seconds: float, out: Path | None = None) -> int:
    """The status of `command` in a copy of this checkout; output is live, what it leaves in /job/out lands in `out`."""
    tools.check()
    made = bed.ready()
    with tempfile.TemporaryDirectory(prefix="microvm-") as name:
        job = Path(name)
        _prepare(job, command)
        begun = time.monotonic()
        with subprocess.Popen(_qemu(made, job), stdin=subprocess.DEVNULL) as qemu:
            try:
                qemu.wait(seconds)
            except subprocess.TimeoutExpired:
                print(f"microvm bed: killed after {seconds:.0f} s", flush=True)
            finally:
                qemu.kill()
        print(f"microvm bed: machine ran for {time.monotonic() - begun:.1f} s", flush=True)
        if out:
            shutil.copytree(job / "out", out, dirs_exist_ok=True)
        status = job / "status"
        if status.exists():
            return int(status.read_text())
        print((job / "console").read_text(errors="replace")[-4000:], flush=True)
        return 124


def _prepare(job: Path, command: Sequence[str]) -> None:
    job.chmod(0o755)
    (job / "out").mkdir(mode=0o777)
    (job / "out").chmod(0o777)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
        cwd=bed.ROOT, stdout=subprocess.PIPE, check=True,
    ).stdout  # fmt: skip
    # A file that was deleted but not yet committed is listed too.
    names = [name for name in listed.split(b"\0") if name and os.path.lexists(bed.ROOT / os.fsdecode(name))]
    packed = ["tar", "-c", "--null", "--files-from=-", f"--file={job}/checkout.tar"]
    subprocess.run(packed, cwd=bed.ROOT, input=b"\0".join(names), check=True)
    (job / "run").write_text(
        "mkdir checkout && cd checkout && tar -x --no-same-owner -f /job/checkout.tar || exit 125\n"
        f"exec {shlex.join(command)}\n"
    )


def _qemu(made: Path, job: Path) -> list[str]:
    artifacts = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bottlegen" / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    return [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-smp", "2", "-m", "6G",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
        "-kernel", f"{made}/vmlinuz", "-initrd", f"{made}/initrd", "-append", _KERNEL,
        "-drive", f"file={made}/disk,if=virtio,format=raw,snapshot=on",
        "-serial", f"file:{job}/console", "-chardev", "stdio,id=out,signal=off", "-serial", "chardev:out",
        "-virtfs", f"local,path={job},mount_tag=job,security_model=none",
        "-virtfs", f"local,path={artifacts},mount_tag=artifacts,security_model=none,readonly=on",
    ]  # fmt: skip
