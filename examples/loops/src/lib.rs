//! Pipes as streams of tokio: any code that takes an `AsyncRead` or an `AsyncWrite` takes them.
//!
//! The library has no trait of a runtime, as it would have to follow each of them. These adapters are short enough to be
//! copied.

use slipring::events::Async;
use slipring::pipe::{PipeReader, PipeWriter};
use std::io::{ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The reading end of a pipe.
#[derive(Debug)]
pub struct Reading(pub Async<PipeReader>);

/// The writing end of a pipe. Nothing is buffered, so there is nothing to flush; dropping it ends the stream.
#[derive(Debug)]
pub struct Writing(pub Async<PipeWriter>);

impl AsyncRead for Reading {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let read = self.get_mut().0.poll_ready(context, |reader| {
            settle(reader.try_read(out.initialize_unfilled()))
        });
        read.map_ok(|bytes| out.advance(bytes))
    }
}

impl AsyncWrite for Writing {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        self.get_mut()
            .0
            .poll_ready(context, |writer| settle(writer.try_write(bytes)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn settle(tried: Result<usize>) -> Poll<Result<usize>> {
    match tried {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        other => Poll::Ready(other),
    }
}
