"""
Gather what runs csm into one folder: the interpreter, its standard library, the shared libraries that they and csm's
packages load, certificates, and an account. Run by the image's build, in the base image, as `gather.py APP IMAGE`.

What is not gathered is not there to be used by whoever gets in: the image has no shell and no tools.
"""

from __future__ import annotations

import compileall
import fnmatch
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "distutils",
    "pydoc_data",
    "venv",
)
"""Parts of the standard library that csm never imports."""

UNUSED = ("bin", "include", "kubernetes/client/api/*_api.py", "kubernetes/client/models/v*.py")
"""Parts of csm's packages that it never imports: the Kubernetes client's synchronous half is a third of them all."""

SOURCES = (".c", ".h", ".pxd", ".pyi", ".pyx")
"""What extensions were built from, and what type checkers read."""

STARTED = (
    "bot.app",
    "bot.cli.main",
    "handlers.executors.docker",
    "handlers.executors.kubernetes",
    "handlers.executors.ssh",
)
"""Importing these imports all that a running csm does. Only that is compiled: most of the Kubernetes client is never used."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
ACCOUNT = "csm:x:65532:65532::/var/lib/csm:/nonexistent\n"


def main(app: Path, image: Path) -> None:
    """Gather `app` and what it needs into `image`."""
    check_fits(app)
    compile_used(app)
    standard = Path(sysconfig.get_path("stdlib"))
    interpreter = Path(sys.executable).resolve()
    copy_tree(app, image, leave_out=UNUSED)
    copy_tree(standard, image, leave_out=LEFT_OUT)
    copy(interpreter, image)
    for library in sorted(set(shared_libraries([interpreter, *extensions(standard), *extensions(app)]))):
        copy(library, image)
    for name in (CERTIFICATES, "/etc/ld.so.cache"):
        if Path(name).exists():
            copy(Path(name), image)
    if not (image / CERTIFICATES.lstrip("/")).exists():
        sys.exit(f"{CERTIFICATES} is not in the base image: install ca-certificates there")
    link = image / "usr/local/bin/python3"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(interpreter)
    for folder in ("etc/csm", "tmp"):
        (image / folder).mkdir(parents=True, exist_ok=True)
    (image / "tmp").chmod(0o1777)
    (image / "etc/passwd").write_text(f"root:x:0:0::/root:/nonexistent\n{ACCOUNT}")
    (image / "etc/group").write_text("root:x:0:\ncsm:x:65532:\n")


def check_fits(app: Path) -> None:
    """Packages with extensions fit one version of Python only."""
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}-"
    built_for = {
        part for path in app.rglob("*.cpython-*.so") for part in path.name.split(".") if part.startswith("cpython-")
    }
    if not all(part.startswith(tag) for part in built_for):
        sys.exit(
            f"the packages were built for {', '.join(sorted(built_for))}, and the base image has {sys.version.split()[0]}"
        )


def compile_used(app: Path) -> None:
    """Compile what a start imports, so that it need not be compiled at each start in a read-only image."""
    probe = f"import sys; sys.path.insert(0, {str(app)!r})\n" + "".join(f"import {name}\n" for name in STARTED)
    probe += "print('\\n'.join(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)))"
    found = subprocess.run([sys.executable, "-B", "-c", probe], check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in found.splitlines():
        if name.endswith(".py"):
            compileall.compile_file(name, quiet=1)
    for package in ("bot", "handlers"):
        compileall.compile_dir(str(app / package), quiet=1)


def extensions(folder: Path) -> Iterator[Path]:
    """The shared objects below a folder."""
    return (path for path in folder.rglob("*.so*") if path.is_file())


def shared_libraries(files: list[Path]) -> Iterator[Path]:
    """What the dynamic loader loads for these files, from outside their own packages, and the loader itself."""
    # Programs name it by an absolute path (x86-64: /lib64, arm64: /lib).
    loaders = [*Path("/lib64").glob("ld-linux*.so.*"), *Path("/lib").glob("ld-linux*.so.*")]
    if not loaders:
        sys.exit("the base image has no dynamic loader where one is expected (/lib64 or /lib)")
    yield from loaders
    for file in files:
        listed = subprocess.run(
            [str(loaders[0]), "--list", str(file)], check=False, stdout=subprocess.PIPE, text=True
        ).stdout
        for line in listed.splitlines():
            _, arrow, path = line.partition(" => ")
            name = path.split(" (")[0].strip()
            if arrow and name.startswith(("/lib", "/usr")):
                yield Path(name)


def copy(path: Path, image: Path) -> None:
    """One file to the same place in the image; where it is a link, what it points to."""
    target = image / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


def copy_tree(folder: Path, image: Path, *, leave_out: tuple[str, ...]) -> None:
    """A folder to the same place in the image, without what is named (patterns of paths within it) and without sources."""

    def unwanted(where: str, names: list[str]) -> list[str]:
        paths = {name: str((Path(where) / name).relative_to(folder)) for name in names}
        return [
            name
            for name in names
            if name.endswith(SOURCES) or any(fnmatch.fnmatch(paths[name], pattern) for pattern in leave_out)
        ]

    target = image / str(folder).lstrip("/")
    shutil.copytree(folder, target, ignore=unwanted, ignore_dangling_symlinks=True, dirs_exist_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
