"""`make install` and `make uninstall` below DESTDIR: what is laid where, and what is left alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from roots import ROOT, SYSTEM_PYTHON, clean_environment, make, tree

# Path to mode: the layout that the documents promise, but for the package and the documents themselves.
LAYOUT = {
    "/usr/sbin/had": "-755",
    "/usr/lib/had": "d755",
    "/usr/lib/had/manifest": "-644",
    "/usr/lib/had/python/had/cli/had.py": "-644",
    "/usr/lib/had/run-services": "-755",
    "/usr/lib/had/services": "d755",
    "/usr/lib/had/services/address": "-755",
    "/usr/lib/had/services/common": "-644",
    "/usr/lib/systemd/system/had.service": "-644",
    "/usr/lib/systemd/system/had@.service": "-644",
    "/usr/lib/systemd/system-preset/90-had.preset": "-644",
    "/usr/share/doc/had/README.md": "-644",
    "/usr/share/doc/had/LICENSE": "-644",
    "/usr/share/doc/had/docs/installation.md": "-644",
    "/etc/had": "d755",
    "/etc/had/had.conf": "-644",
    "/etc/had/hasrv": "d755",
    "/etc/had/hasrv/starthasrv": "-755",
    "/etc/had/hasrv/stophasrv": "-755",
    "/etc/had/hasrv/monitorhasrv": "-755",
    "/etc/had/hasrv/alerthasrv": "-755",
    "/etc/had/hasrv/services.list": "-644",
    "/etc/init.d/had": "-755",
    "/etc/default/had": "-644",
}
HOOK = "etc/had/hasrv/starthasrv"
CONF = "etc/had/had.conf"
EDITABLE = (CONF, HOOK, "etc/had/hasrv/services.list", "etc/default/had")


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "a root"


@pytest.fixture(scope="module")
def lean(source, tmp_path_factory):
    """The tree with few modules and documents, for tests that are about other files, and soon over."""
    lean = tmp_path_factory.mktemp("lean") / "had"
    shutil.copytree(source, lean)
    for path in [*(lean / "had").iterdir(), *(lean / "docs").iterdir()]:
        if path.name not in ("__init__.py", "cli", "installation.md"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return lean


def open_to_all(path: Path) -> None:
    """Let other users get there: pytest's directories are for its own user."""
    for directory in (path, *path.parents):
        if directory.is_relative_to(tempfile.gettempdir()) and directory.stat().st_mode & 0o005 != 0o005:
            directory.chmod(0o755)


def install(dest: Path, *words: str, source: Path = ROOT, **options: object) -> str:
    done = make("install", f"DESTDIR={dest}", *words, source=source, **options)
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


def uninstall(dest: Path, *words: str) -> str:
    done = make("uninstall", f"DESTDIR={dest}", *words)
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


def refused(*words: str, source: Path = ROOT, **options: object) -> str:
    """What make said to a command that it has to refuse, without make's own line."""
    done = make(*words, source=source, **options)
    assert done.returncode != 0, done.stdout
    return "".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith("make"))


# -- What is laid ---------------------------------------------------------------------------------------


def test_everything_is_laid_out(dest):
    said = install(dest)
    assert said == f"had is installed: {dest}/usr/sbin/had; hooks and configuration in {dest}/etc/had\n"
    found = tree(dest)
    assert {path: found.get(path) for path in LAYOUT} == LAYOUT
    for path in (ROOT / "scripts/services").glob("[!_]*"):
        first = path.read_bytes()[:2]
        mode = "-755" if first == b"#!" and path.name != "common" else "-644"
        assert found[f"/usr/lib/had/services/{path.name}"] == mode
    for path in (ROOT / "had").rglob("*.py"):
        assert found[f"/usr/lib/had/python/{path.relative_to(ROOT)}"] == "-644"


def test_nothing_else_is_laid_out(dest):
    install(dest)
    allowed = r"(/usr/lib/had/(python/had|services)|/usr/share/doc/had)(/[\w./-]+\.(py|md|typed)|/[\w/]+)?"
    above = {str(parent) for path in LAYOUT for parent in Path(path).parents}
    strange = [
        path for path in tree(dest) if path not in {*LAYOUT, *above} and not re.fullmatch(allowed, path)
    ]
    assert strange == []
    assert not [path for path in tree(dest) if "pycache" in path or ".new" in path or ".had-install" in path]


def test_links_of_the_documents_lead_somewhere(dest):
    install(dest)
    documents = dest / "usr/share/doc/had"
    for path in documents.rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s:#]+\.md)", path.read_text(encoding="utf-8")):
            # What the source itself has not is the business of tests/docs.
            there = (ROOT / path.relative_to(documents)).parent / target
            assert (path.parent / target).is_file() or not there.exists(), f"{path}: {target}"


def test_modes_are_right_under_any_umask(dest, lean):
    install(dest, source=lean, umask=0o077)
    found = tree(dest)
    assert {path: found.get(path) for path in LAYOUT} == LAYOUT
    assert {mode for mode in found.values() if mode not in ("d755", "-755", "-644")} == set()


def test_alts_layout_is_recognised_inside(dest, lean):
    (dest / "etc/rc.d/init.d").mkdir(parents=True)
    (dest / "etc/init.d").symlink_to("rc.d/init.d")
    install(dest, source=lean)
    found = tree(dest)
    assert found["/etc/rc.d/init.d/had"] == "-755"
    assert found["/etc/sysconfig/had"] == "-644"
    assert "/etc/default" not in found
    header = (dest / "etc/rc.d/init.d/had").read_text()
    assert re.search(r"^# Default-Start:\s*$", header, re.MULTILINE), "else chkconfig switches it on"
    uninstall(dest)
    assert tree(dest) == {
        "/etc": "d755",
        "/etc/init.d": "-> rc.d/init.d",
        "/etc/rc.d": "d755",
        "/etc/rc.d/init.d": "d755",
    }


def test_units_go_where_systemd_is_inside(dest, lean):
    (dest / "lib/systemd/system").mkdir(parents=True)
    install(dest, source=lean)
    assert (dest / "lib/systemd/system/had.service").is_file()
    assert (dest / "lib/systemd/system-preset/90-had.preset").is_file()
    assert not (dest / "usr/lib/systemd").exists()


def test_debians_tools_can_switch_the_initscript_on(dest, lean):
    install(dest, source=lean)
    header = (dest / "etc/init.d/had").read_text()
    assert re.search(r"^# Default-Start: +2 3 4 5$", header, re.MULTILINE)
    assert re.search(r"^# Default-Stop: +0 1 6$", header, re.MULTILINE)


def test_places_can_be_given(dest, lean):
    install(dest, "INITDIR=/etc/rc", "SETTINGSDIR=/etc/conf.d", "UNITDIR=/etc/systemd/system", source=lean)
    found = tree(dest)
    for path in ("/etc/rc/had", "/etc/conf.d/had", "/etc/systemd/system/had.service"):
        assert path in found
    assert "/etc/init.d" not in found
    assert "/usr/lib/systemd" not in found


def test_another_prefix_is_written_into_what_is_laid(dest):
    install(dest, "PREFIX=/opt/ha/")
    found = tree(dest)
    assert found["/opt/ha/sbin/had"] == "-755"
    assert {path for path in found if path.startswith("/usr/lib/")} >= {"/usr/lib/systemd/system/had.service"}
    assert not [path for path in found if re.match("/usr/(?!lib(/systemd|$))", path)], (
        "but for systemd, all is moved"
    )
    for path in dest.rglob("*"):
        if path.is_file() and "/doc/" not in str(path) and path.suffix != ".py":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"/usr/(sbin|lib|share/doc)/had\b", text), path
    assert "ExecStart=/opt/ha/sbin/had -f" in (dest / "usr/lib/systemd/system/had.service").read_text()
    assert "/opt/ha/lib/had/run-services start" in (dest / HOOK).read_text()
    assert "DAEMON=/opt/ha/sbin/had" in (dest / "etc/init.d/had").read_text()
    uninstall(dest, "PREFIX=/opt/ha")
    assert tree(dest) == {}


def test_an_interpreter_can_be_given(dest, lean):
    install(dest, "PYTHON=/opt/python/bin/python3.13", source=lean)
    assert (dest / "usr/sbin/had").read_text().startswith("#!/opt/python/bin/python3.13 -I\n")


def test_the_interpreter_of_the_tests_is_not_that_of_the_command(dest, lean):
    """`make test` has a PYTHON of its own, which is no path."""
    install(dest, source=lean)
    assert (dest / "usr/sbin/had").read_text().startswith(f"#!{SYSTEM_PYTHON} -I\n")


@pytest.mark.parametrize("shell", [["dash"], ["bash", "--posix"], ["busybox", "sh"]], ids=" ".join)
def test_any_shell_will_do(dest, shell, lean):
    if shutil.which(shell[0]) is None:
        pytest.skip(f"needs {shell[0]}")
    for verb in ("install", "uninstall"):
        done = subprocess.run(
            [*shell, "-eu", str(lean / "tools/install"), verb],
            env=clean_environment(DESTDIR=str(dest)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        if verb == "install":
            found = tree(dest)
            assert {path: found.get(path) for path in LAYOUT} == LAYOUT
    assert tree(dest) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="is run as somebody else than root")
def test_who_is_not_root_can_install_below_a_directory_of_his_own(source, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    os.chown(home, 65534, 65534)
    for place in (home, source):
        open_to_all(place)
    install(home / "root", source=source, user=65534, group=65534, extra_groups=[])
    assert (home / "root/usr/sbin/had").stat().st_uid == 65534


# -- What is refused ------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="is run as somebody else than root")
def test_who_is_not_root_is_told_so(source):
    open_to_all(source)
    said = refused("install", source=source, user=65534, group=65534, extra_groups=[])
    assert said == "install: only root can install into /; DESTDIR=DIRECTORY installs elsewhere\n"


@pytest.mark.parametrize("prefix", ["usr", "/a b", "/a/../b", "/a$b", "/a|b"])
def test_a_prefix_that_scripts_cannot_hold_is_refused(dest, prefix):
    said = refused("install", f"DESTDIR={dest}", "PREFIX=" + prefix.replace("$", "$$"))
    assert said == f"install: PREFIX={prefix}: has to be a whole path of letters, digits and . _ + -\n"
    assert not dest.exists()


def test_a_link_out_of_the_directory_is_not_followed(dest, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (dest / "usr").mkdir(parents=True)
    (dest / "etc").symlink_to(outside)
    said = refused("install", f"DESTDIR={dest}")
    assert said == f"install: {dest}/etc leads out of {dest}; make that symbolic link a relative one\n"
    assert list(outside.iterdir()) == []


def test_half_a_copy_is_refused(dest, tmp_path, source):
    half = tmp_path / "half"
    shutil.copytree(source, half)
    (half / "scripts/services.list").unlink()
    said = refused("install", f"DESTDIR={dest}", source=half)
    assert said == f"install: {half}/scripts/services.list is missing: this is not a whole copy of had\n"
    assert not dest.exists()


def test_a_directory_in_the_place_of_a_file_is_told(dest):
    (dest / CONF).mkdir(parents=True)
    assert refused("install", f"DESTDIR={dest}").endswith("had.conf is a directory; it is to be a file\n")


def test_wrong_words_are_answered_by_the_usage():
    done = subprocess.run([ROOT / "tools/install", "reinstall"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: install [install|uninstall]\n")
    for name in ("DESTDIR", "PREFIX", "PYTHON", "COMMAND", "INITDIR", "SETTINGSDIR", "UNITDIR"):
        assert f"\n  {name} " in done.stderr


# -- What the command says ------------------------------------------------------------------------------


def test_an_old_interpreter_is_told(dest, lean):
    install(dest, source=lean)
    launcher = (dest / "usr/sbin/had").read_text()
    program = f"import sys; sys.version_info = (3, 8, 10); exec({launcher!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    wanted = f"had: {sys.executable} is older than Python 3.9; make install PYTHON=... names another\n"
    assert (done.returncode, done.stderr) == (1, wanted)


def test_a_missing_module_is_told_with_its_packages(dest, tmp_path, lean):
    bare = tmp_path / "bare"
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(bare)], check=True)
    install(dest, f"PYTHON={bare}/bin/python3", source=lean)
    done = subprocess.run([dest / "usr/sbin/had", "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"had: {bare}/bin/python3 has no module configobj; "
        "Debian: apt install python3-configobj; ALT: apt-get install python3-module-configobj\n"
    )


# -- Again ----------------------------------------------------------------------------------------------


def test_a_second_time_nothing_changes_and_nothing_is_said(dest, lean):
    said = install(dest, source=lean)
    before = {path: (mode, (dest / path[1:]).stat().st_ino) for path, mode in tree(dest).items()}
    manifest = (dest / "usr/lib/had/manifest").read_text()
    assert install(dest, source=lean) == said
    after = {path: (mode, (dest / path[1:]).stat().st_ino) for path, mode in tree(dest).items()}
    assert after.keys() == before.keys()
    assert (dest / "usr/lib/had/manifest").read_text() == manifest
    for path in EDITABLE:
        assert after[f"/{path}"] == before[f"/{path}"], "not even written again"
    assert after["/etc/init.d/had"] != before["/etc/init.d/had"], (
        "renamed into its place: one that runs stays whole"
    )


def test_edited_files_are_kept_and_the_new_ones_are_beside_them(dest, lean):
    install(dest, source=lean)
    new = {path: (dest / path).read_text() for path in EDITABLE}
    for path in EDITABLE:
        (dest / path).write_text("mine\n")
        (dest / path).chmod(0o700)
    said = install(dest, source=lean).splitlines()
    kept = [
        f"kept {dest}/{path}, which differs from the new one; that is {dest}/{path}.new" for path in EDITABLE
    ]
    assert sorted(said[:-1]) == sorted(kept)
    for path in EDITABLE:
        assert (dest / path).read_text() == "mine\n"
        assert tree(dest)[f"/{path}"] == "-700"
        assert (dest / f"{path}.new").read_text() == new[path]
        (dest / f"{path}.new").rename(dest / path)  # taken over
    assert len(install(dest, source=lean).splitlines()) == 1
    assert not list(dest.rglob("*.new"))


def test_a_new_one_that_is_no_longer_needed_is_taken_away(dest, lean):
    install(dest, source=lean)
    new = (dest / CONF).read_text()
    (dest / CONF).write_text("mine\n")
    install(dest, source=lean)
    (dest / CONF).write_text(new)
    install(dest, source=lean)
    assert not (dest / f"{CONF}.new").exists()


def test_a_file_that_was_there_before_us_is_kept(dest, lean):
    (dest / HOOK).parent.mkdir(parents=True)
    (dest / HOOK).write_text("theirs\n")
    install(dest, source=lean)
    assert (dest / HOOK).read_text() == "theirs\n"
    uninstall(dest)
    assert tree(dest)[f"/{HOOK}"] == "-644"


def test_a_link_in_the_place_of_a_file_is_kept(dest, lean):
    (dest / CONF).parent.mkdir(parents=True)
    (dest / CONF).symlink_to("../../shared/had.conf")
    install(dest, source=lean)
    assert tree(dest)[f"/{CONF}"] == "-> ../../shared/had.conf"
    assert (dest / f"{CONF}.new").is_file()
    assert f"kept {dest}/{CONF}, which was edited\n" in uninstall(dest)
    assert tree(dest)[f"/{CONF}"] == "-> ../../shared/had.conf"


@pytest.fixture
def newer(lean, tmp_path):
    """The next version: a hook and a configuration have changed, a module and a service script have gone."""
    newer = tmp_path / "newer"
    shutil.copytree(lean, newer)
    with (newer / "scripts/starthasrv").open("a") as file:
        file.write("# better\n")
    with (newer / "had.conf").open("a") as file:
        file.write("# better\n")
    (newer / "scripts/services/address").unlink()
    (newer / "had/cli/options.py").unlink()
    (newer / "had/cli/had.py").write_text("# better\n")
    return newer


def test_an_upgrade_replaces_what_nobody_has_edited(dest, newer, lean):
    install(dest, source=lean)
    (dest / CONF).write_text("mine\n")
    own = dest / "usr/lib/had/services/own"
    own.write_text("#!/bin/sh\n")
    said = install(dest, source=newer).splitlines()
    assert len(said) == 2
    assert (dest / HOOK).read_text().endswith("# better\n")
    assert (dest / CONF).read_text() == "mine\n"
    assert (dest / f"{CONF}.new").read_text().endswith("# better\n")
    assert (dest / "usr/lib/had/python/had/cli/had.py").read_text() == "# better\n"
    assert not (dest / "usr/lib/had/services/address").exists()
    assert not (dest / "usr/lib/had/python/had/cli/options.py").exists()
    assert own.exists()


def test_a_hook_that_no_version_ships_any_more_is_kept_if_it_was_edited(dest, newer, lean):
    install(dest, source=lean)
    (newer / "scripts/alerthasrv").unlink()
    (newer / "scripts/monitorhasrv").unlink()
    (dest / "etc/had/hasrv/alerthasrv").write_text("mine\n")
    said = install(dest, source=newer)
    assert f"kept {dest}/etc/had/hasrv/alerthasrv, which was edited\n" in said
    assert (dest / "etc/had/hasrv/alerthasrv").exists()
    assert not (dest / "etc/had/hasrv/monitorhasrv").exists()


def test_an_upgrade_to_another_place_cleans_the_old_one(dest, lean):
    install(dest, source=lean)
    install(dest, "INITDIR=/etc/rc.d/init.d", source=lean)
    found = tree(dest)
    assert found["/etc/rc.d/init.d/had"] == "-755"
    assert found["/etc/sysconfig/had"] == "-644"
    assert not {"/etc/init.d", "/etc/default"} & set(found)


# -- Away -----------------------------------------------------------------------------------------------


def test_uninstall_leaves_an_empty_tree(dest, lean):
    install(dest, source=lean)
    compiled = dest / "usr/lib/had/python/had/cli/__pycache__"
    compiled.mkdir()
    (compiled / "had.cpython-311.pyc").write_bytes(b"")
    assert uninstall(dest) == "had is uninstalled\n"
    assert tree(dest) == {}


def test_uninstall_keeps_what_was_edited_and_what_is_not_ours(dest, lean):
    install(dest, source=lean)
    (dest / HOOK).write_text("mine\n")
    (dest / "etc/had/hasrv/notes").write_text("mine\n")
    (dest / "usr/sbin/other").write_text("theirs\n")
    (dest / "etc/init.d/had").write_text("edited, but a program\n")
    assert uninstall(dest) == f"kept {dest}/{HOOK}, which was edited\nhad is uninstalled\n"
    assert {path for path, mode in tree(dest).items() if mode[0] != "d"} == {
        f"/{HOOK}",
        "/etc/had/hasrv/notes",
        "/usr/sbin/other",
    }


def test_uninstall_leaves_directories_that_were_there_before(dest, lean):
    for path in ("usr/sbin", "etc/init.d", "usr/lib/systemd/system"):
        (dest / path).mkdir(parents=True)
    before = tree(dest)
    install(dest, source=lean)
    install(dest, source=lean)
    uninstall(dest)
    assert tree(dest) == before


def test_a_second_uninstall_says_that_there_is_nothing(dest, lean):
    install(dest, source=lean)
    uninstall(dest)
    said = refused("uninstall", f"DESTDIR={dest}")
    wanted = f"{dest}/usr/lib/had/manifest is missing: there is nothing here that make install has laid out"
    assert said == f"install: {wanted}\n"


def test_a_damaged_manifest_removes_nothing_outside(dest, tmp_path, lean):
    install(dest, source=lean)
    victim = tmp_path / "victim"
    victim.write_text("")
    with (dest / "usr/lib/had/manifest").open("a") as file:
        file.write("file - /../victim\n")
    before = tree(dest)
    said = refused("uninstall", f"DESTDIR={dest}")
    assert said == f"install: {dest}/usr/lib/had/manifest is damaged: file - /../victim\n"
    assert victim.exists()
    assert tree(dest) == before
