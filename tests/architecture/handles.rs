//! What handles may do between threads: which of them move, and which are used by several at once.

use slipring::{
    endpoint::{Conflated, Interrupter, Interruption},
    latest::{LatestReader, LatestWriter},
    mailbox::{MailboxClient, MailboxReceiver},
    pipe::{PipeReader, PipeWriter},
    queue::{Receiver, Sender},
    signals::{Listener, Target},
    typed::{TypedConsumer, TypedObserver, TypedProducer},
    Broker, Consumer, Fifo, Latest, Link, Mailbox, Observer, Producer, Queue, Ring, Semaphore,
    Shared, Signals, Typed, WaitSet,
};

slipring::message! {
    /// A value.
    pub struct Value {
        /// Anything.
        pub number: u64,
    }
}

/// Fails to compile unless each of them can be given to another thread.
macro_rules! send {
    ($($handle:ty),* $(,)?) => {
        const fn sent<T: Send>() {}
        const _: () = { $(sent::<$handle>();)* };
    };
}

/// Fails to compile unless each of them can be used by several threads at once.
macro_rules! shared {
    ($($handle:ty),* $(,)?) => {
        const fn shared<T: Sync>() {}
        const _: () = { $(shared::<$handle>();)* };
    };
}

/// Fails to compile if one of them can be used by several threads at once: then `probe` has two meanings.
macro_rules! not_shared {
    ($($handle:ty),* $(,)?) => {
        trait Probe<A> {
            fn probe() {}
        }
        struct Also;
        impl<T: ?Sized> Probe<()> for T {}
        impl<T: ?Sized + Sync> Probe<Also> for T {}
        #[test]
        fn handles_of_one_thread_are_of_one_thread() {
            $(<$handle as Probe<_>>::probe();)*
        }
    };
}

send![
    Ring,
    Producer,
    Consumer,
    Observer,
    Conflated<Consumer, u8, fn(&[u8]) -> u8>,
    Typed<Value>,
    TypedProducer<Value>,
    TypedConsumer<Value>,
    TypedObserver<Value>,
    WaitSet,
    Interruption,
    Interrupter,
    Queue,
    Sender,
    Receiver,
    Mailbox,
    MailboxClient,
    MailboxReceiver,
    Link,
    PipeReader,
    PipeWriter,
    Fifo,
    Latest<Value>,
    LatestReader<Value>,
    LatestWriter<Value>,
    Semaphore,
    Shared<Value>,
    Signals,
    Listener,
    Target,
    Broker,
];

shared![
    Ring,
    Interrupter,
    Queue,
    Mailbox,
    Fifo,
    Latest<Value>,
    Signals,
];

not_shared![
    Producer,
    Consumer,
    Observer,
    TypedProducer<Value>,
    Sender,
    Receiver,
    MailboxClient,
    LatestReader<Value>,
    LatestWriter<Value>,
    Listener,
];
