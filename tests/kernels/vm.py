"""A machine of qemu's, with a kernel of Debian's and this machine's programs.

Called by run.py. Its root is an initramfs with busybox and `init`; /usr and
the source tree come from the host by 9p, read only, so that the very files run
that were built here. No rights are needed, and no KVM; where this machine has
it, XK_ACCEL=kvm takes it.
"""
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MEMORY_MB = 3072
CPUS = 2
# What users, groups and libraries are called; nothing secret.
ETC = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "os-release",
       "localtime", "alternatives", "python3", "python3.11", "python3.13")


def initramfs(kernel, folder):
    """Pack what the machine begins with; the path of the archive."""
    tree = folder / "initramfs"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "etc").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), tree / "busybox")
    shutil.copytree(kernel / "modules", tree / "modules")
    shutil.copy(HERE / "init", tree / "init")
    (tree / "init").chmod(0o755)
    (tree / "etc" / "source").write_text(str(ROOT))
    for name in ETC:
        path = Path("/etc") / name
        if path.is_dir():
            shutil.copytree(path, tree / "etc" / name, symlinks=True)
        elif path.exists():
            shutil.copy(path, tree / "etc" / name)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    names = "\0".join(sorted(str(p.relative_to(tree))
                             for p in tree.rglob("*"))) + "\0"
    path = folder / "initramfs.cpio"
    with path.open("wb") as archive:
        subprocess.run(
            ["cpio", "--quiet", "-0", "-o", "-H", "newc", "-R", "0:0"],
            input=names.encode(), cwd=tree, stdout=archive, check=True)
    shutil.rmtree(tree)
    return path


def share(tag, path, options):
    """A folder of the host's, for `mount -t 9p TAG`."""
    return ["-fsdev", f"local,id={tag},path={path},security_model=none"
            f",multidevs=remap{options}",
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def run(kernel, folder, tree, job, seconds):
    """Boot it, let it run the shell text `job`, and wait until it is off.

    `tree` is what it sees where the source tree is. What job writes to /out is
    in folder/out. Returns the status that job ended with; None where the
    machine did not get so far in time.
    """
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    (out / "job.rc").unlink(missing_ok=True)
    (out / "job").write_text(job)
    archive = initramfs(kernel, folder)
    command = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none", "-m", str(MEMORY_MB), "-smp", str(CPUS),
        "-accel", os.environ.get("XK_ACCEL", "tcg"), "-cpu", "max,la57=off",
        "-kernel", str(kernel / "vmlinuz"), "-initrd", str(archive),
        "-append", "console=ttyS0 quiet panic=-1 psi=1 cgroup_no_v1=all",
        "-serial", f"file:{folder / 'console.log'}",
        *share("usr", "/usr", ",readonly=on"),
        *share("source", tree, ",readonly=on"), *share("out", out, "")]
    with (folder / "qemu.log").open("wb") as log:
        machine = subprocess.Popen(
            ["nice", "-n", "3", *command], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log)
        try:
            machine.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if machine.poll() is None:
                machine.kill()
                machine.wait()
    try:
        return int((out / "job.rc").read_text())
    except (OSError, ValueError):
        return None
