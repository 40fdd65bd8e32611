"""A typed ring as arrays: `python means.py NAME FIELD` prints the mean of a field over each batch, without holding
the producer back."""

import sys

import slipring


def main() -> None:
    with slipring.Ring.open(sys.argv[1], timeout=None) as ring, ring.observer("oldest", on_loss="value") as observer:
        while (got := observer.receive_batch(65536)) is not None:
            if isinstance(got, slipring.Lapped):
                print(f"{got.lost} lost")
            else:
                print(f"{len(got)} messages, mean {got[sys.argv[2]].mean()}", flush=True)


if __name__ == "__main__":
    main()
