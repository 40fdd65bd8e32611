"""What the tests share: places of their own, the command `slipring`, and children that are waited for."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import Any, Callable, Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Only ends hangs.
PATIENCE = 60.0


def command() -> str:
    """The command of the project, built by whoever runs the tests."""
    given = os.environ.get("SLIPRING_COMMAND")
    found = [given] if given else [str(ROOT / "target" / kind / "slipring") for kind in ("release", "debug")]
    for path in found:
        if path and os.access(path, os.X_OK):
            return path
    raise RuntimeError(f"no command slipring: build it (cargo build -p slipring-cli), or name it in SLIPRING_COMMAND; looked at {found}")


def rust_values() -> str:
    """The program of `tests/values`, built as the command is."""
    given = os.environ.get("SLIPRING_VALUES", str(ROOT / "target/python/debug/values"))
    if not os.access(given, os.X_OK):
        raise RuntimeError(f"no program {given}: build it (cargo build -p values in bindings/python), or name it in SLIPRING_VALUES")
    return given


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Ends a test that hangs, and says where each thread is."""
    faulthandler.dump_traceback_later(float(os.environ.get("SLIPRING_TEST_LIMIT", "180")), exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture()
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A slipring directory of the test's own, in shared memory."""
    home = pathlib.Path("/dev/shm") / f"slipring-python-{os.getpid()}-{threading.get_ident()}-{tmp_path.name}"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("SLIPRING_DIR", str(home))
    yield home  # type: ignore[misc]
    subprocess.run(["rm", "-rf", str(home)], check=True)


@pytest.fixture()
def slipring_command(home: pathlib.Path) -> Callable[..., str]:
    """Runs the command and returns what it prints."""

    def run(*args: str, input: bytes = b"") -> str:
        done = subprocess.run([command(), *args], input=input, capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def with_parent() -> None:
    """Has the kernel end a child with its parent, however that ends. For `preexec_fn`, of children of the main thread."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start_program(code: str, *args: str, **options: Any) -> "subprocess.Popen[bytes]":
    """Starts a program in Python that ends with this process."""
    return subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, preexec_fn=with_parent, **options)


@pytest.fixture()
def children() -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts programs in Python, and ends those that are left."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str, *args: str, **options: Any) -> "subprocess.Popen[bytes]":
        child = start_program(code, *args, **options)
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()
        if child.stdin:
            child.stdin.close()


class InThread(threading.Thread):
    """A call in a thread, whose result or exception `result` gives."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._outcome: tuple[Any, BaseException | None] = (None, None)
        self.start()

    def run(self) -> None:
        try:
            self._outcome = (self._call(), None)
        except BaseException as error:
            self._outcome = (None, error)

    def result(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "the call hangs"
        value, error = self._outcome
        if error is not None:
            raise error
        return value


@pytest.fixture()
def in_thread() -> Callable[[Callable[[], Any]], InThread]:
    return InThread


def sleeping(pid: int) -> bool:
    """Whether the main thread of a process sleeps."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "S"


def kill(child: "subprocess.Popen[bytes]", number: int = signal.SIGKILL) -> None:
    child.send_signal(number)
    child.wait(PATIENCE)
