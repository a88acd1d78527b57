"""The RPM package for ALT Linux, parsed and built by another's rpm, with stand-ins for ALT's macros."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from roots import ROOT, SYSTEM_PYTHON, clean_environment, copy_source, why_no_wheels

from had import __version__

HERE = Path(__file__).parent
SPEC = ROOT / "packaging" / "had.spec"

needs_rpm = pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="needs rpmbuild (package rpm)")
pytestmark = [needs_rpm, pytest.mark.skipif(bool(why_no_wheels()), reason=why_no_wheels())]

# What the old package had, from its specification: the paths are those of had 1.0.8 on ALT.
AS_OF_OLD = {
    "/usr/sbin/had": "-rwxr-xr-x",
    "/etc/rc.d/init.d/had": "-rwxr-xr-x",
    "/etc/had": "drwxr-xr-x",
    "/etc/had/hasrv": "drwxr-xr-x",
    "/etc/had/had.conf": "-rw-r--r--",
    "/etc/had/hasrv/starthasrv": "-rwxr-xr-x",
    "/etc/had/hasrv/stophasrv": "-rwxr-xr-x",
    "/etc/had/hasrv/monitorhasrv": "-rwxr-xr-x",
    "/etc/had/hasrv/alerthasrv": "-rwxr-xr-x",
}
NEW = {
    "/etc/had/hasrv/services.list": "-rw-r--r--",
    "/etc/sysconfig/had": "-rw-r--r--",
    "/lib/systemd/system/had.service": "-rw-r--r--",
    "/lib/systemd/system/had@.service": "-rw-r--r--",
    "/lib/systemd/system-preset/90-had.preset": "-rw-r--r--",
    "/usr/lib/had": "drwxr-xr-x",
    "/usr/lib/had/run-services": "-rwxr-xr-x",
    "/usr/lib/had/services": "drwxr-xr-x",
    "/usr/lib/had/services/common": "-rw-r--r--",
}
CONFIGURATION = {
    *(path for path in AS_OF_OLD if path.startswith("/etc/had/h") and path != "/etc/had/hasrv"),
    "/etc/had/hasrv/services.list",
    "/etc/sysconfig/had",
}


def rpm(*words: str, **options: object) -> str:
    """Run one of rpm's programs and return what it said on standard output."""
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=120, env=clean_environment(), check=False, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return str(done.stdout)


def macros(top: Path) -> list[str]:
    """The words that make rpm use the stand-ins, and nothing but a directory of ours."""
    values = {
        "_topdir": str(top),
        "had_test_python": SYSTEM_PYTHON,
        "had_test_wheel": str(HERE / "pyproject_standin.py"),
        "had_test_pytest": f"{sys.executable} -m pytest",
    }
    found = re.search(r"^Macro path: (\S+)$", rpm("rpm", "--showrc"), re.MULTILINE)
    assert found is not None
    words = ["--macros", f"{found[1]}:{HERE / 'alt.macros'}"]
    for name, value in values.items():
        words += ["--define", f"{name} {value}"]
    return words


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rpmbuild's directory, with the source and the specification."""
    top = tmp_path_factory.mktemp("rpm")
    for name in ("SOURCES", "SPECS", "BUILD", "BUILDROOT", "RPMS", "SRPMS"):
        (top / name).mkdir()
    source = copy_source(top / "SOURCES" / f"had-{__version__}")
    with tarfile.open(f"{source}.tar", "w") as archive:
        archive.add(source, source.name)
    shutil.rmtree(source)
    # ALT's rpm installs what is required so before it reads on; others know no qualifier there.
    text = SPEC.read_text(encoding="utf-8").replace("BuildRequires(pre):", "BuildRequires:")
    (top / "SPECS" / "had.spec").write_text(text, encoding="utf-8")
    return top


@pytest.fixture(scope="module")
def package(top: Path) -> Path:
    rpm("rpmbuild", *macros(top), "--nodeps", "-bb", str(top / "SPECS" / "had.spec"), cwd=top)
    (package,) = (top / "RPMS").rglob("*.rpm")
    return package


def test_the_specification_can_be_parsed(top):
    text = rpm("rpmspec", *macros(top), "-P", str(top / "SPECS" / "had.spec"))
    unknown = set(re.findall(r"(?<!%)%\w+", text)) - set(re.findall(r"^%\w+", text, re.MULTILINE))
    assert unknown == {"%dir"} or unknown <= {"%dir", "%config", "%doc"}, unknown


def test_the_versions_agree():
    text = SPEC.read_text(encoding="utf-8")
    assert re.search(r"^Version: (\S+)$", text, re.MULTILINE)[1] == __version__
    assert re.search(r"^\* .* (\S+)-alt\d+$", text, re.MULTILINE)[1] == __version__


def test_its_form_is_that_of_the_old_one():
    text = SPEC.read_text(encoding="utf-8")
    for line in (
        "Name: had",
        "Group: System/Servers",
        "PreReq: chkconfig",
        "Requires: service",
        "BuildRequires(pre): rpm-build-pyproject",
        "%post_service %name",
        "%preun_service %name",
        "%config(noreplace) %_sysconfdir/%name/hasrv/*",
        "%config(noreplace) %_sysconfdir/%name/*.conf",
    ):
        assert f"\n{line}\n" in f"\n{text}", line


def test_it_holds_what_the_old_one_held_and_what_is_new(package):
    listed = {}
    for line in rpm(
        "rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", str(package)
    ).splitlines():
        mode, _, path = line.partition(" ")
        listed[path] = mode
    for path, mode in {**AS_OF_OLD, **NEW}.items():
        assert listed.get(path) == mode, path
    others = set(listed) - set(AS_OF_OLD) - set(NEW)
    services = {f"/usr/lib/had/services/{path.name}" for path in (ROOT / "scripts/services").glob("[!_]*")}
    assert services <= set(listed)
    sitelib, documents = "/usr/lib/python3/site-packages/had", "/usr/share/doc/had"
    for path in others - services:
        assert path.startswith((f"{sitelib}/", f"{sitelib}-", documents)) or path == sitelib, path
    assert f"{sitelib}/cli/had.py" in listed
    assert any(path.endswith("/docs/installation.md") for path in listed)
    assert not [path for path, mode in listed.items() if mode[5] == "w" or mode[8] == "w"]


def test_edited_configuration_survives_an_upgrade(package):
    flags = {}
    for line in rpm(
        "rpm", "-qp", "--queryformat", "[%{FILEFLAGS:fflags} %{FILENAMES}\n]", str(package)
    ).splitlines():
        flag, _, path = line.partition(" ")
        flags[path] = flag
    assert {path for path, flag in flags.items() if flag == "cn"} == CONFIGURATION
    assert flags["/etc/rc.d/init.d/had"] == ""


def test_its_scripts_register_the_service(package):
    text = rpm("rpm", "-qp", "--scripts", str(package))
    assert re.search(r"^postinstall .*\n/usr/sbin/post_service had", text, re.MULTILINE)
    assert re.search(r"^preuninstall .*\n/usr/sbin/preun_service had", text, re.MULTILINE)


def test_it_requires_what_it_needs(package):
    needed = {line.split()[0] for line in rpm("rpm", "-qp", "--requires", str(package)).splitlines()}
    assert {"chkconfig", "service", "python3-module-configobj", "python3-module-daemon"} <= needed
