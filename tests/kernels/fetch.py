"""The kernels that Debian's archive has now: named, fetched, unpacked.

Called by run.py. Each release has an apt of its own in build/kernels, with
lists from the archive that this machine's packages come from; nothing of the
machine's own apt is changed, and no rights are needed. What is unpacked is the
kernel and the few modules with which it reaches a folder of the host's.
"""
import lzma
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The suite, and what the page calls it.
RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13",
            "sid": "Debian unstable"}
# In modules where they are not built in.
WANTED = ("virtio_pci", "9p", "9pnet_virtio")


class NotThere(Exception):
    """The archive, or this machine, has none."""


def archive():
    """Where this machine gets Debian's main archive from."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)",
         "Created-By: Packages"], stdout=subprocess.PIPE, text=True,
        check=True).stdout
    for line in told.splitlines():
        label, _, address = line.partition(" ")
        if label == "Debian":
            return address
    raise NotThere("apt names no archive of Debian")


class Apt:
    """An apt for one release, in a folder of its own."""

    def __init__(self, folder, suite):
        self.folder = folder
        for name in ("state/lists/partial", "cache/archives/partial", "debs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "sources").write_text(
            f"deb [signed-by={KEYRING}] {archive()} {suite} main\n")
        self.conf = folder / "conf"
        self.conf.write_text("".join(f'{name} "{value}";\n' for name, value in {
            "Dir::Etc::sourcelist": folder / "sources",
            "Dir::Etc::sourceparts": "-",
            "Dir::State": folder / "state",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "",
            "APT::Architecture": "amd64"}.items()))

    def run(self, *words):
        """apt-get's or apt-cache's output."""
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.PIPE, cwd=self.folder / "debs",
                              env={"APT_CONFIG": str(self.conf),
                                   "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                                   "LC_ALL": "C.UTF-8"})
        if done.returncode:
            raise NotThere(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def field(self, package, name):
        """A field of a package's newest version."""
        told = self.run("apt-cache", "show", "--no-all-versions", package)
        found = re.search(rf"^{name}: (.*)$", told, re.M)
        return found.group(1) if found else ""


def needs(apt, package, pattern):
    """The packages that it depends on and whose names match."""
    return [word for word in re.findall(r"[a-z][a-z0-9.+-]+",
                                        apt.field(package, "Depends"))
            if re.match(pattern, word)]


def fetch(build, suite):
    """Download a release's kernel; (its package, its version, the files)."""
    apt = Apt(build / suite / "apt", suite)
    apt.run("apt-get", "-q", "update")
    images = needs(apt, "linux-image-amd64", r"linux-image-\d")
    if not images:
        raise NotThere(f"{suite} has no linux-image-amd64")
    # From 7.x on the image is empty, and two others have what was in it.
    packages = images[:1] + needs(apt, images[0], r"linux-(binary|modules)-\d")
    apt.run("apt-get", "-q", "download", *packages)
    files = []
    for package in packages:
        files += sorted((apt.folder / "debs").glob(f"{package}_*.deb"))[-1:]
    return images[0], apt.field(images[0], "Version"), files


def dependencies(module):
    """The modules that a module (uncompressed) says it needs."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [n for n in found.group(1).decode().split(",") if n] if found else []


def unpack(files, folder):
    """vmlinuz, and modules/00-NAME.ko in the order in which they load."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "modules").mkdir(parents=True)
    modules = {}
    for file in files:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)],
                              stdout=subprocess.PIPE) as unpacking:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as tar:
                for member in tar:
                    name = Path(member.name).name
                    if not member.isfile():
                        continue
                    if re.match(r"vmlinuz(-|$)", name):
                        (folder / "vmlinuz").write_bytes(
                            tar.extractfile(member).read())
                    elif re.search(r"/kernel/(fs/(9p|netfs|fscache)|net/9p|"
                                   r"drivers/virtio)/", member.name):
                        data = tar.extractfile(member).read()
                        if name.endswith(".xz"):
                            data = lzma.decompress(data)
                        modules[name.split(".")[0].replace("-", "_")] = data
            unpacking.stdout.read()
    if not (folder / "vmlinuz").exists():
        raise NotThere(f"no vmlinuz in {', '.join(f.name for f in files)}")
    order = []

    def add(name):
        if name in modules and name not in order:
            for other in dependencies(modules[name]):
                add(other)
            order.append(name)
    for name in WANTED:
        add(name)
    for number, name in enumerate(order):
        (folder / "modules" / f"{number:02}-{name}.ko").write_bytes(
            modules[name])
