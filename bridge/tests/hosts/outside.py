"""Reads a served ring with a Zenoh client and what docs/guide/bridge.md says, and nothing else of the project.

usage: outside.py ADDRESS FIRST END

Prints "ready" when it receives what is published. Then prints one JSON object for each message and gap: those before
FIRST are asked for, those from there to END are received, and holes are asked for. Ends when the ring is closed at END.
"""

import json
import queue
import struct
import sys
import time
import zlib

import zenoh

ADDRESS, FIRST, END = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
HEADER = struct.Struct("<4sHH16sQQQQQQIIII")
MESSAGES, PART, GAP, HEARTBEAT, CLOSED = 1, 2, 3, 4, 5


def say(**what):
    print(json.dumps(what), flush=True)


class Parts:
    """A message in parts, put together again."""

    def __init__(self):
        self.sequence, self.data = None, b""

    def add(self, sequence, offset, total, data):
        if offset == 0:
            self.sequence, self.data = sequence, b""
        if self.sequence != sequence or len(self.data) != offset:
            return None
        self.data += data
        return self.data if len(self.data) == total else None


def decode(frame, parts):
    """The kind of the frame, its epoch, and its items: (sequence, payload), or (first, end, reason) of a gap."""
    assert HEADER.size == 88
    magic, version, kind, ring, epoch, began, first, oldest, sent, extra, count, size, reason, sum_ = HEADER.unpack_from(frame)
    assert magic == b"SLMF" and version == 1, (magic, version)
    assert zlib.crc32(frame[:84] + frame[88:]) == sum_
    body = frame[88:]
    assert len(body) == size and len(frame) <= 61440
    assert sent > 1_600_000_000_000_000_000
    items = []
    if kind == MESSAGES:
        at = 0
        for n in range(count):
            (length,) = struct.unpack_from("<I", body, at)
            items.append((first + n, body[at + 4 : at + 4 + length]))
            at += (4 + length + 7) // 8 * 8
        assert at == len(body)
    elif kind == PART:
        assert count == 1
        whole = parts.add(first, extra & 0xFFFF_FFFF, extra >> 32, body)
        if whole is not None:
            items.append((first, whole))
    elif kind == GAP:
        items.append((first, extra, reason))
    else:
        assert kind in (HEARTBEAT, CLOSED) and not body and count == 0
    return kind, epoch, first, items


def tell(by, epoch, items):
    for item in items:
        if len(item) == 2:
            say(by=by, epoch=epoch, first=item[0], end=item[0] + 1, payload=item[1].hex())
        else:
            say(by=by, epoch=epoch, first=item[0], end=item[1], reason=item[2])


def main():
    config = zenoh.Config.from_json5(
        json.dumps(
            {
                "mode": "peer",
                "connect": {"endpoints": [ADDRESS]},
                "listen": {"endpoints": []},
                "scouting": {"multicast": {"enabled": False}},
            }
        )
    )
    session = zenoh.open(config)
    prefix = "slipring/1/default/quotes"

    def ask(key):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            replies = session.get(key, consolidation=zenoh.ConsolidationMode.NONE)
            frames = [bytes(reply.ok.payload) for reply in replies if reply.ok is not None]
            if frames:
                return frames
            time.sleep(0.1)
        sys.exit(f"no answer under {key}")

    ring = json.loads(ask(f"{prefix}/status")[0])["id"]

    def fetch(first, end, by):
        """Asks until it has everything."""
        while first < end:
            parts = Parts()
            for frame in ask(f"{prefix}/{ring}/fetch?from={first};to={end};bytes=100000"):
                kind, epoch, _, items = decode(frame, parts)
                assert kind in (MESSAGES, PART, GAP)
                tell(by, epoch, items)
                for item in items:
                    assert item[0] == first
                    first = item[0] + 1 if len(item) == 2 else item[1]

    heard = queue.Queue()
    subscriber = session.declare_subscriber(f"{prefix}/{ring}/data", lambda sample: heard.put(bytes(sample.payload)))
    # The first heartbeat says that the source knows of this subscriber.
    pending = heard.get(timeout=60)
    say(ready=True)
    fetch(0, FIRST, "fetch")
    parts, reached = Parts(), FIRST
    while True:
        kind, epoch, first, items = decode(pending, parts)
        for item in items:
            if item[0] > reached:
                fetch(reached, item[0], "hole")
            if item[0] >= reached:
                tell("data", epoch, [item])
                reached = item[0] + 1 if len(item) == 2 else item[1]
        if kind in (HEARTBEAT, CLOSED):
            if first > reached:
                fetch(reached, first, "hole")
                reached = first
            if kind == CLOSED and reached == END:
                break
        pending = heard.get(timeout=60)
    subscriber.undeclare()
    session.close()


main()
