"""Workers of a queue: `python worker.py NAME` takes jobs until Ctrl-C; each is done once, or again if its worker dies."""

import sys

import slipring


def main() -> None:
    with slipring.Queue.create_or_open(sys.argv[1]) as queue, queue.receiver() as receiver:
        for job in receiver:
            with job:
                print(job.data.decode(), "again" if job.redelivered else "", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
