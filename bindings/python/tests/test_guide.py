"""The examples of the guide run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from conftest import PATIENCE, ROOT, with_parent

PAGE = (ROOT / "docs/guide/python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)


def run(code: str) -> "subprocess.Popen[bytes]":
    # From a file, as multiprocessing starts it again by its path.
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, preexec_fn=with_parent)


def test_the_first_two_are_two_processes(home: Any) -> None:
    producer, consumer = run(BLOCKS[0]), run(BLOCKS[1])
    said = consumer.communicate(timeout=PATIENCE)[0]
    assert producer.wait(PATIENCE) == consumer.returncode == 0
    assert producer.communicate()[0] == b""
    assert said.decode().splitlines() == [f"{number} price {number}" for number in range(5)]


@pytest.mark.parametrize("number", range(2, len(BLOCKS)))
def test_each_of_the_others_runs(home: Any, tmp_path: Any, number: int) -> None:
    script = tmp_path / "example.py"
    script.write_text(BLOCKS[number])
    done = subprocess.run([sys.executable, str(script)], capture_output=True, timeout=PATIENCE, preexec_fn=with_parent)
    assert done.returncode == 0, done.stderr.decode()


def test_the_page_has_examples() -> None:
    assert len(BLOCKS) >= 7
