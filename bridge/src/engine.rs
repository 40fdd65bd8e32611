//! What carries bytes between hosts.
//!
//! Nothing that a bridge promises rests on an engine: it may lose, repeat and reorder what it carries. It has to
//! deliver keys as they are, and it never waits.

pub mod local;
pub mod said;
pub mod threads;
pub mod zenoh;

use std::any::Any;
use std::fmt;
use std::time::Duration;

/// A program's place on a network.
///
/// # Guarantees
/// - No call waits for another host. What cannot be sent at once is lost.
/// - Sinks are called from threads of the engine, several at a time, and have to return at once.
pub trait Engine: Send + Sync {
    /// Sends bytes to all that subscribed to their key.
    ///
    /// # Errors
    /// [`EngineError`] if the engine is closed or the key is none. That no program received them is no error.
    fn publish(&self, outgoing: Outgoing<'_>) -> Result<(), EngineError>;

    /// Receives what is published under a key. `*` stands for one part between slashes, `**` for any number of them.
    ///
    /// # Errors
    /// [`EngineError`].
    fn subscribe(&self, key: &str, sink: SampleSink) -> Result<Held, EngineError>;

    /// Answers what is asked under a key.
    ///
    /// # Errors
    /// [`EngineError`].
    fn answer(&self, key: &str, sink: QuestionSink) -> Result<Held, EngineError>;

    /// Asks all that answer under a key. The sink is called for each reply, and then once with `None`: when all have
    /// answered, or the time is over.
    ///
    /// # Errors
    /// [`EngineError`]; the sink is not called then.
    fn ask(
        &self,
        key: &str,
        parameters: &str,
        within: Duration,
        sink: ReplySink,
    ) -> Result<(), EngineError>;

    /// The addresses at which other programs reach this one, as they were given.
    fn addresses(&self) -> Vec<String>;

    /// Why a program that should be linked with this one is not, as the engine last said it; `None` if it says nothing.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Under which key.
    pub key: &'a str,
    /// Before what else.
    pub lane: Lane,
    /// The bytes.
    pub bytes: &'a [u8],
    /// What the bytes are, for programs that know nothing of rings: a media type.
    pub encoding: Option<&'a str>,
    /// More bytes, that belong to them.
    pub attachment: Option<&'a [u8]>,
}

/// What goes before what, where a link is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Acknowledgements: small, and what a source waits for.
    Control,
    /// Frames.
    Data,
    /// Messages for other programs.
    Plain,
}

/// What was published.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Under which key.
    pub key: &'a str,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// What was asked.
pub struct Question {
    /// The parameters, `name=value;name=value`.
    pub parameters: String,
    /// Where replies go. Dropping it says that there are no more.
    pub replies: Box<dyn Replies>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("parameters", &self.parameters)
            .finish()
    }
}

/// Where the replies to a question go.
pub trait Replies: Send {
    /// One more reply. It may be lost.
    fn reply(&self, bytes: Vec<u8>);
}

/// Takes what was published.
pub type SampleSink = Box<dyn Fn(Sample<'_>) + Send + Sync>;
/// Takes questions.
pub type QuestionSink = Box<dyn Fn(Question) + Send + Sync>;
/// Takes replies, and `None` behind the last one.
pub type ReplySink = Box<dyn Fn(Option<Vec<u8>>) + Send + Sync>;
/// Dropping it ends what it stands for.
pub type Held = Box<dyn Any + Send>;

/// Why an engine does not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError {
    /// What it should have done.
    pub what: String,
    /// What it says.
    pub why: String,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.why)
    }
}

impl std::error::Error for EngineError {}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it does not say why")
}
