"""The dashboard of `slipring demo --mixed`, in Python: dashboard.py RING TICKS. It observes, draws ten times a second, and may be
lapped meanwhile. In the end it prints a report of one line."""

import collections
import json
import pathlib
import struct
import sys
import time

import slipring

TICK = struct.Struct("<Qdddd QII")
SCHEMA = "Tick{sent_ns:u64,open:f64,high:f64,low:f64,close:f64,volume:u64,day:u32,symbol:u32}"
STEP = 0.1

ring = slipring.Ring.open(pathlib.Path(sys.argv[1]))
ticks = max(1, int(sys.argv[2]))
if ring.schema != SCHEMA:
    sys.exit(f"dashboard: the ring has messages of {ring.schema}, not of {SCHEMA}")
observer = ring.observer("oldest", on_loss="value")
print("attached", flush=True)

received = lost = missing = draws = 0
# Latencies with three digits.
latencies: "collections.Counter[int]" = collections.Counter()
live = sys.stderr.isatty()
next_draw = time.monotonic()


def draw(tick: "tuple[float, ...]") -> None:
    seen = received + lost + missing
    name = ("S&P 500", "NASDAQ")[int(tick[7]) % 2]
    line = f"{100 * seen // ticks:>3} %  {seen:,} ticks  {name} closed at {tick[4]:.2f}"
    if live:
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    elif draws % 10 == 1:
        print(line, file=sys.stderr)


while True:
    try:
        got = observer.receive_messages(256, timeout=STEP)
    except slipring.Timeout:
        continue
    if got is None:
        break
    if isinstance(got, slipring.Lapped):
        lost += got.lost
        continue
    if isinstance(got, slipring.Skipped):
        missing += got.skipped
        continue
    now = time.monotonic_ns()
    for message in got:
        tick = TICK.unpack(message)
        latency = max(0, now - tick[0])
        unit = 10 ** max(0, len(str(latency)) - 3)
        latencies[latency // unit * unit] += 1
    received += len(got)
    if time.monotonic() >= next_draw:
        draws += 1
        next_draw = time.monotonic() + STEP
        draw(tick)
        # Stands for the time that a screen takes to draw.
        time.sleep(0.06)

if live:
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def quantile(share: float) -> int:
    left = share * received
    for latency, many in sorted(latencies.items()):
        left -= many
        if left <= 0:
            return latency
    return 0


print(
    json.dumps(
        {
            "language": "Python",
            "received": received,
            "lost": lost,
            "missing": missing,
            "latency_ns": {"p50": quantile(0.5), "p99": quantile(0.99), "p99.9": quantile(0.999), "max": max(latencies, default=0)},
            "result": f"drew {draws:,} times",
        }
    )
)
