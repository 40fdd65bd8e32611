//! Errors of the library, with their numbers and what is known.

use crate::failure::{Detail, Failure, Words};
use crate::status::{SLIPRING_E_PIPE_BROKEN, SLIPRING_E_PIPE_TIMED_OUT, SLIPRING_E_SYSTEM};
use slipring::endpoint::{
    AttachError, PublishError, ReadersError, ReceiveError, StatusError, TryPublishError,
    TryReceiveError,
};
use slipring::latest::LatestError;
use slipring::link::LinkError;
use slipring::mailbox::{ReplyError, RequestError};
use slipring::place::{CreateError, OpenError, RemoveError};
use slipring::queue::{AckError, Holder, SendError, TakeError};
use slipring::semaphore::AcquireError;
use slipring::shared::SharedError;
use slipring::signals::SignalError;
use std::io;

impl From<TryPublishError> for Failure {
    #[cold]
    fn from(error: TryPublishError) -> Self {
        let detail = Detail::default();
        let detail = match error {
            TryPublishError::TooLarge { len, max } => detail.len(len as u64).max(max.into()),
            TryPublishError::WrongSize { len, expected } => {
                detail.len(len as u64).max(expected.into())
            }
            TryPublishError::Full { row } => detail.row(row),
            TryPublishError::Behind { next } => detail.next(next),
            TryPublishError::TooFar { last } => detail.max(last),
            _ => detail,
        };
        Self::new(error.code(), Words::TryPublish(error), detail)
    }
}

impl From<PublishError> for Failure {
    #[cold]
    fn from(error: PublishError) -> Self {
        let detail = Detail::default();
        let detail = match error {
            PublishError::TooLarge { len, max } => detail.len(len as u64).max(max.into()),
            PublishError::WrongSize { len, expected } => {
                detail.len(len as u64).max(expected.into())
            }
            PublishError::TimedOut { row } => detail.row(row),
            PublishError::Behind { next } => detail.next(next),
            PublishError::TooFar { last } => detail.max(last),
            _ => detail,
        };
        Self::new(error.code(), Words::Publish(error), detail)
    }
}

impl From<TryReceiveError> for Failure {
    #[cold]
    fn from(error: TryReceiveError) -> Self {
        let detail = Detail::default();
        let detail = match error {
            TryReceiveError::ProducerGone { next } | TryReceiveError::Expelled { next } => {
                detail.next(next)
            }
            TryReceiveError::WrongSize {
                sequence,
                len,
                expected,
            } => detail
                .sequence(sequence)
                .len(len.into())
                .max(expected.into()),
            _ => detail,
        };
        Self::new(error.code(), Words::TryReceive(error), detail)
    }
}

impl From<ReceiveError> for Failure {
    #[cold]
    fn from(error: ReceiveError) -> Self {
        let detail = Detail::default();
        let detail = match error {
            ReceiveError::ProducerGone { next } | ReceiveError::Expelled { next } => {
                detail.next(next)
            }
            ReceiveError::WrongSize {
                sequence,
                len,
                expected,
            } => detail
                .sequence(sequence)
                .len(len.into())
                .max(expected.into()),
            _ => detail,
        };
        Self::new(error.code(), Words::Receive(error), detail)
    }
}

fn of_open(error: &OpenError) -> Detail {
    let detail = Detail::default();
    match error {
        OpenError::Truncated {
            expected, found, ..
        } => detail.max(*expected).len(*found),
        OpenError::Busy { handles, .. } => detail.max((*handles).into()),
        OpenError::Io { source, .. } => detail.of_kernel(source),
        _ => detail,
    }
}

fn of_create(error: &CreateError) -> Detail {
    let detail = Detail::default();
    match error {
        CreateError::NoSpace { bytes, .. } => detail.len(*bytes),
        CreateError::FileTooLarge { bytes, limit, .. } => detail.len(*bytes).max(*limit),
        CreateError::Open(error) => of_open(error),
        CreateError::Io { source, .. } => detail.of_kernel(source),
        _ => detail,
    }
}

fn of_attach(error: &AttachError) -> Detail {
    let detail = Detail::default();
    match error {
        AttachError::AlreadyOwned { pid, .. } | AttachError::CursorInUse { pid, .. } => {
            detail.pid(*pid)
        }
        AttachError::NoRow { rows } => detail.max((*rows).into()),
        AttachError::Gone { requested, oldest } => detail.sequence(*requested).oldest(*oldest),
        AttachError::Ahead { requested, next } => detail.sequence(*requested).next(*next),
        AttachError::Open(error) => of_open(error),
        AttachError::Create(error) => of_create(error),
        AttachError::Membarrier { source } | AttachError::Io { source, .. } => {
            detail.of_kernel(source)
        }
        _ => detail,
    }
}

fn of_remove(error: &RemoveError) -> Detail {
    match error {
        RemoveError::Open(error) => of_open(error),
        RemoveError::InUse { rows, ends, .. } => Detail::default().len((rows + ends).into()),
        RemoveError::Io { source, .. } => Detail::default().of_kernel(source),
        _ => Detail::default(),
    }
}

fn of_holder(holder: &Option<Holder>) -> Detail {
    let detail = Detail::default();
    match holder {
        Some(holder) => detail.row(holder.row).pid(holder.pid),
        None => detail,
    }
}

fn of_send(error: &SendError) -> Detail {
    match error {
        SendError::Full { holder } | SendError::TimedOut { holder } => of_holder(holder),
        SendError::TooLarge { len, max } => Detail::default().len(*len as u64).max((*max).into()),
        SendError::Create(error) => of_create(error),
        SendError::Attach(error) => of_attach(error),
        _ => Detail::default(),
    }
}

fn of_take(error: &TakeError) -> Detail {
    match error {
        TakeError::Open(error) => of_open(error),
        _ => Detail::default(),
    }
}

fn of_ack(error: &AckError) -> Detail {
    match error {
        AckError::Expired { sequence, .. } => Detail::default().sequence(*sequence),
        _ => Detail::default(),
    }
}

fn of_link(error: &LinkError) -> Detail {
    let detail = Detail::default();
    match error {
        LinkError::Taken { pid, .. } => detail.pid(*pid),
        LinkError::TooLarge { len, max } => detail.len(*len as u64).max((*max).into()),
        LinkError::Create(error) => of_create(error),
        LinkError::Attach(error) => of_attach(error),
        LinkError::Remove(error) => of_remove(error),
        _ => detail,
    }
}

fn of_request(error: &RequestError) -> Detail {
    match error {
        RequestError::Send(error) => of_send(error),
        RequestError::Take(error) => of_take(error),
        _ => Detail::default(),
    }
}

fn of_reply(error: &ReplyError) -> Detail {
    match error {
        ReplyError::Open(error) => of_open(error),
        ReplyError::Send(error) => of_send(error),
        _ => Detail::default(),
    }
}

fn of_readers(error: &ReadersError) -> Detail {
    let detail = Detail::default();
    match error {
        ReadersError::TimedOut { readers, wanted } => {
            detail.len((*readers).into()).max((*wanted).into())
        }
        ReadersError::TooMany { wanted, rows } => detail.len((*wanted).into()).max((*rows).into()),
        _ => detail,
    }
}

fn of_latest(error: &LatestError) -> Detail {
    match error {
        LatestError::NoCell { cells, .. } => Detail::default().max((*cells).into()),
        _ => Detail::default(),
    }
}

fn of_acquire(error: &AcquireError) -> Detail {
    match error {
        AcquireError::TooMany { wanted, max } => {
            Detail::default().len((*wanted).into()).max((*max).into())
        }
        _ => Detail::default(),
    }
}

fn nothing<E>(_: &E) -> Detail {
    Detail::default()
}

macro_rules! failures {
    ($($error:ty => $detail:path),* $(,)?) => {$(
        impl From<$error> for Failure {
            #[cold]
            fn from(error: $error) -> Self {
                Self::shown(error.code(), &error, $detail(&error))
            }
        }
    )*};
}
failures! {
    OpenError => of_open,
    CreateError => of_create,
    AttachError => of_attach,
    RemoveError => of_remove,
    StatusError => nothing,
    ReadersError => of_readers,
    SendError => of_send,
    TakeError => of_take,
    AckError => of_ack,
    LinkError => of_link,
    RequestError => of_request,
    ReplyError => of_reply,
    LatestError => of_latest,
    SharedError => nothing,
    AcquireError => of_acquire,
    SignalError => nothing,
}

impl From<io::Error> for Failure {
    #[cold]
    fn from(error: io::Error) -> Self {
        let detail = Detail::default().of_kernel(&error);
        let code = match error.kind() {
            io::ErrorKind::BrokenPipe => SLIPRING_E_PIPE_BROKEN,
            io::ErrorKind::TimedOut => SLIPRING_E_PIPE_TIMED_OUT,
            _ => SLIPRING_E_SYSTEM,
        } as u32;
        let inner = error.get_ref();
        let known = inner.and_then(|inner| {
            let attach = inner.downcast_ref().map(AttachError::code);
            let attach = attach.or_else(|| inner.downcast_ref().map(OpenError::code));
            let attach = attach.or_else(|| inner.downcast_ref().map(CreateError::code));
            let attach = attach.or_else(|| inner.downcast_ref().map(PublishError::code));
            attach.or_else(|| inner.downcast_ref().map(ReceiveError::code))
        });
        Self::shown(known.unwrap_or(code), &error, detail)
    }
}
