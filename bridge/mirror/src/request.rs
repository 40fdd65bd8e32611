//! What a mirror asks for: sequences that it lacks.

use core::fmt;

/// Sequences from `from` on, before `to`, and not more bytes than this, but at least one message.
///
/// On the network it is a text, the parameters of a query: `from=5;to=9;bytes=65536`, in any order. Other
/// parameters are ignored, so that later versions may add some.
///
/// ```
/// use slipring_mirror::Request;
///
/// let request: Request = "to=9;from=5".parse()?;
/// assert_eq!((request.from, request.to), (5, 9));
/// assert_eq!(request.to_string().parse(), Ok(request));
/// # Ok::<(), slipring_mirror::request::RequestError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The first sequence.
    pub from: u64,
    /// The first that is not asked for.
    pub to: u64,
    /// Bytes that the answer may have. A source has a limit of its own.
    pub bytes: u32,
}

/// Bytes of an answer if the request says nothing.
pub const ANSWER_BYTES: u32 = 256 << 10;

/// A text that is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The parameter that is missing, or is no number.
    pub parameter: &'static str,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the parameter {} is missing or no number; a request is from=SEQUENCE;to=SEQUENCE",
            self.parameter
        )
    }
}

impl std::error::Error for RequestError {}

/// The value of a parameter in `name=value;name=value`.
pub fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .into_iter()
        .find_map(|(key, value)| (key == name).then_some(value))
}

impl core::str::FromStr for Request {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let number = |parameter_name: &'static str| {
            let value = parameter(text, parameter_name).and_then(|value| value.parse().ok());
            value.ok_or(RequestError {
                parameter: parameter_name,
            })
        };
        let bytes = match parameter(text, "bytes") {
            None => ANSWER_BYTES,
            Some(value) => value
                .parse()
                .map_err(|_| RequestError { parameter: "bytes" })?,
        };
        Ok(Self {
            from: number("from")?,
            to: number("to")?,
            bytes,
        })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, bytes } = self;
        write!(f, "from={from};to={to};bytes={bytes}")
    }
}
