"""Start Espalier from a checkout; the first start also installs it.

    python3 run.py            the built-in demo study (same as: espalier demo)
    python3 run.py ARGS ...   the program with these arguments (espalier ARGS ...)
    python3 run.py setup      only install
    python3 run.py test ...   the tests; further arguments go to pytest

Everything lands in `.venv` beside this file, in the versions of constraints.txt; nothing else is
touched, except that missing system libraries are installed with apt-get where that needs no
password. Messages go to stderr: stdout belongs to the program. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "espalier-installed"
UNFINISHED = VENV / "espalier-unfinished"
NO_APT = VENV / "espalier-no-apt"

# What Qt and numba load from the system, and the Debian / Ubuntu packages that have it (the first
# one that the release knows).
OFFSCREEN = {
    "libGL.so.1": ("libgl1",),
    "libEGL.so.1": ("libegl1",),
    "libxkbcommon.so.0": ("libxkbcommon0",),
    "libglib-2.0.so.0": ("libglib2.0-0t64", "libglib2.0-0"),
    "libfontconfig.so.1": ("libfontconfig1",),
    "libdbus-1.so.3": ("libdbus-1-3",),
    "libgomp.so.1": ("libgomp1",),
}
DISPLAY = {
    "libxcb-cursor.so.0": ("libxcb-cursor0",),
    "libxcb-icccm.so.4": ("libxcb-icccm4",),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1",),
    "libxcb-shape.so.0": ("libxcb-shape0",),
    "libxcb-xkb.so.1": ("libxcb-xkb1",),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0",),
}


def say(text: str) -> None:
    print(f"espalier: {text}", file=sys.stderr, flush=True)


def main(args: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - who starts this may have any Python
        version = sys.version.split()[0]
        say(f"needs Python 3.11 or newer; this is {version} ({sys.executable}).")
        return 1
    setup_only = args[:1] == ["setup"]
    with alone():
        if not (installed() or install()):
            return 1
        system_libraries(again=setup_only)
    if setup_only:
        say("ready. Start it with: python3 run.py")
        return 0
    if args[:1] == ["test"]:
        for_tests()
        command = [str(program("python")), "-m", "pytest", *args[1:]]
        os.chdir(ROOT)
    else:
        command = [str(program("espalier")), *(args or ["demo"])]
    say("running " + " ".join(command))
    return replace_by(command)


def replace_by(command: list[str]) -> int:
    """Become the command; where the system cannot, run it and hand on its exit code."""
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.call(command)


def program(name: str) -> Path:
    """A program of the environment."""
    return VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name


@contextlib.contextmanager
def alone():
    """Two starts at once install one after the other.

    The lock is handed on to pip, which goes on when only this process is killed.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with Path(__file__).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another start that is installing ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        os.set_inheritable(lock.fileno(), True)
        yield


# The environment


def stamp() -> str:
    """What an installation is made of; another value means that it has to be renewed."""
    content = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        content.update((ROOT / name).read_bytes() + b"\0")
    # A moved checkout, or a system Python that was replaced under the environment.
    content.update(f"{ROOT}\0{program('python').resolve()}".encode())
    return content.hexdigest()


def installed() -> bool:
    return (
        STAMP.is_file()
        and program("python").exists()
        and program("espalier").exists()
        and STAMP.read_text() == stamp()
    )


def install() -> bool:
    if not make_environment():
        return False
    STAMP.unlink(missing_ok=True)
    # While this file exists a package may be half copied, and pip would take it for whole.
    UNFINISHED.touch()
    constraints = ["-c", str(ROOT / "constraints.txt")]
    # torch first: alone it resolves to the pinned build and pulls no other one in.
    for what in (["torch"], ["-e", f"{ROOT}[dev]"]):
        say(f"installing {what[-1]} into {VENV} ...")
        pip = [str(program("python")), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        done = call([*pip, "install", *constraints, *what])
        if done != 0:
            if done in (1, 2):  # pip gave up by itself; anything else killed it half way
                UNFINISHED.unlink(missing_ok=True)
            say("the installation failed (see above); run the same command to try again.")
            return False
    UNFINISHED.unlink(missing_ok=True)
    STAMP.write_text(stamp())
    return True


def for_tests() -> None:
    """Triton, whose interpreter checks the CUDA kernels; without it those tests are skipped."""
    wanted = [str(program("python")), "-c", "import importlib.util as u, sys;"
              "sys.exit(sys.platform == 'linux' and u.find_spec('triton') is None)"]  # fmt: skip
    if call(wanted) == 0:
        return
    say("installing triton, which only the tests need ...")
    pip = [str(program("python")), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    if call([*pip, "install", "-c", str(ROOT / "constraints.txt"), "triton"]) != 0:
        say("going on without; the tests of the CUDA kernels are skipped.")


def make_environment() -> bool:
    """Make `.venv` unless a usable one is there."""
    python = program("python")
    if (
        python.exists()
        and not UNFINISHED.exists()
        and call([str(python), "-c", "import pip"]) == 0
    ):
        return True
    if VENV.exists():
        say("the environment is incomplete; making it anew ...")
    else:
        say(f"making the environment {VENV} ...")
    venv_package = f"python3.{sys.version_info.minor}-venv"
    if importlib.util.find_spec("ensurepip") is None and not apt_install(
        [(venv_package, "python3-venv")]
    ):
        say("this Python lacks the module ensurepip, which makes environments.")
        return False
    if call([sys.executable, "-m", "venv", "--clear", str(VENV)]) == 0:
        return True
    say(f"could not make {VENV}: see above.")
    return False


def call(command: list[str]) -> int:
    """Run without input, output to stderr; the exit code, 127 when there is no such program."""
    try:
        return subprocess.call(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, close_fds=False
        )
    except FileNotFoundError:
        return 127


# System libraries


def system_libraries(again: bool) -> None:
    """Install what Qt needs from the system, or say how; the command line works without.

    again: try even if an earlier start could not install the same ones.
    """
    absent = missing({**OFFSCREEN, **DISPLAY}) if sys.platform.startswith("linux") else []
    if not absent:
        return
    if not again and NO_APT.is_file() and NO_APT.read_text().split() == absent:
        if missing(OFFSCREEN):
            say("no window without " + ", ".join(absent) + "; see: python3 run.py setup")
        return
    say("missing system libraries: " + ", ".join(absent))
    if not apt_install(packages_for(absent)):
        say("going on without; the window may not open.")
    NO_APT.write_text("\n".join(missing({**OFFSCREEN, **DISPLAY})))


def missing(libraries: dict[str, tuple[str, ...]]) -> list[str]:
    """Those that the dynamic linker does not find."""
    return [name for name in libraries if not loads(name)]


def loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def packages_for(libraries: list[str]) -> list[tuple[str, ...]]:
    """For each library the packages that may hold it, best first."""
    known = {**OFFSCREEN, **DISPLAY}
    return [known[name] for name in libraries]


def apt_install(packages: list[tuple[str, ...]]) -> bool:
    """Install the first known alternative of each package; False if that cannot be done here."""
    if shutil.which("apt-get") is None:
        names = ", ".join(alternatives[-1] for alternatives in packages)
        say(f"please install them with your package manager (Debian's names: {names}).")
        return False
    prefix = privilege()
    if prefix is None:
        chosen = " ".join(choose(alternatives) or alternatives[-1] for alternatives in packages)
        say(f"please run: sudo apt-get install {chosen}")
        return False
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    for updated in (False, True):
        if updated and call([*apt, "update"]) != 0:
            say("apt-get update failed; trying with the package lists that are here.")
        chosen_now = [choose(alternatives) for alternatives in packages]
        if None in chosen_now:
            continue
        names = [name for name in chosen_now if name]
        say("installing with apt-get: " + " ".join(names))
        if call([*apt, "install", "-y", "--no-install-recommends", *names]) == 0:
            return True
    say("apt-get could not install: " + " ".join(alternatives[-1] for alternatives in packages))
    return False


def privilege() -> list[str] | None:
    """The words before apt-get; None when a password would be asked for."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and call(["sudo", "-n", "true"]) == 0:
        return ["sudo", "-n"]
    return None


def choose(alternatives: tuple[str, ...]) -> str | None:
    """The first package that this release can install."""
    for name in alternatives:
        found = subprocess.run(
            ["apt-cache", "policy", name],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        if "Candidate:" in found.stdout and "Candidate: (none)" not in found.stdout:
            return name
    return None


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("interrupted; run the same command to go on.")
        sys.exit(130)
