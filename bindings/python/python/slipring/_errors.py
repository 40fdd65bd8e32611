"""The exceptions of `slipring`: one class for each group of error numbers, and some for what programs tell apart."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """An error of Slipring.

    `code` is the number of its kind, which never changes and is the same in every language. The fields of the error, as
    `row`, `pid`, `path`, `len` and `max`, are attributes too.
    """

    code: int = 0


class Timeout(Error, TimeoutError):
    """The time that the call had is over."""


class Empty(Error):
    """There is nothing to receive now."""


class Full(Error):
    """There is no room now."""


class Forked(Error):
    """This process is a fork of the one that made the handle: make it again in the child."""


class Removed(Error):
    """The object was removed while it was open."""


class PeerGone(Error):
    """The other side left or died."""


class CreateError(Error):
    """An object was not created (1xx)."""


class OpenError(Error):
    """An object was not opened (2xx)."""


class InvalidName(CreateError, OpenError):
    """The text cannot be a name."""


class NotFound(OpenError, FileNotFoundError):
    """There is no such object."""


class RemoveError(Error):
    """An object was not removed (300 to 399)."""


class AttachError(Error):
    """A handle was not made, or its object is damaged (4xx)."""


class PublishError(Error):
    """A message was not published (5xx)."""


class ReceiveError(Error):
    """No message was received (6xx)."""


class Closed(ReceiveError):
    """The producer closed the ring, and everything was received."""


class ProducerGone(ReceiveError):
    """The producer died, everything it committed was received, and no other took over."""


class LossError(ReceiveError):
    """Messages were lost, exactly as many as it says. Receiving again goes on at `resumed_at`."""

    resumed_at: int


class LappedError(LossError):
    """An observer was overtaken: `lost` messages were overwritten before it read them."""

    lost: int


class MissedError(LossError):
    """The producer went on without a consumer: `lost` messages it will never get."""

    lost: int


class SkippedError(LossError):
    """The producer skipped sequences: `skipped` of them do not exist, `why` says the reason."""

    skipped: int
    why: str


class QueueError(Error):
    """A call of a queue failed, or of the letters of a mailbox (700 to 719)."""


class SemaphoreError(Error):
    """A call of a semaphore failed (72x)."""


class LatestError(Error):
    """A call of a newest value failed (73x)."""


class SignalError(Error):
    """A call of signals failed (74x)."""


class SharedError(Error):
    """A call of a shared value failed (75x)."""


class LinkError(Error):
    """A call of a link failed (76x)."""


class MailboxError(Error):
    """A call of a mailbox failed (78x)."""


_SPECIAL: dict[int, type[Error]] = {
    1: LappedError,
    2: MissedError,
    3: SkippedError,
    100: InvalidName,
    200: NotFound,
    601: Closed,
    602: ProducerGone,
    **dict.fromkeys((414, 503, 603, 701, 711, 721, 731, 742, 751, 763, 780), Timeout),
    **dict.fromkeys((600, 710, 765), Empty),
    **dict.fromkeys((501, 700, 764), Full),
    **dict.fromkeys((408, 705, 713, 718, 723, 733, 743, 753, 768), Forked),
    **dict.fromkeys((413, 707, 716, 725, 735, 745, 755, 770), Removed),
    **dict.fromkeys((762, 781), PeerGone),
}

_GROUPS: tuple[tuple[int, int, type[Error]], ...] = (
    (100, 199, CreateError),
    (200, 299, OpenError),
    (300, 399, RemoveError),
    (400, 499, AttachError),
    (500, 599, PublishError),
    (600, 699, ReceiveError),
    (700, 719, QueueError),
    (720, 729, SemaphoreError),
    (730, 739, LatestError),
    (740, 749, SignalError),
    (750, 759, SharedError),
    (760, 779, LinkError),
    (780, 799, MailboxError),
)


def class_of(code: int) -> type[Error]:
    """The class of an error number."""
    special = _SPECIAL.get(code)
    if special is not None:
        return special
    for first, last, group in _GROUPS:
        if first <= code <= last:
            return group
    return Error


def make(code: int, message: str, attributes: dict[str, Any]) -> Error:
    """Makes the exception of an error. Called by the compiled part."""
    error = class_of(code)(message)
    error.code = code
    for name, value in attributes.items():
        setattr(error, name, value)
    return error
