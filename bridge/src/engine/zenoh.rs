//! The Zenoh engine: peers that are connected by the addresses they are given, without a broker.
//!
//! | setting | value | why |
//! |---|---|---|
//! | congestion control | drop, for everything | blocking would hold up every ring of a link for the slowest peer; what is dropped is asked for again |
//! | priority | frames before other data, acknowledgements before both | a source waits for acknowledgements |
//! | express | on for acknowledgements, off for frames | an express frame, however small, takes a batch of the queue, which so is full after 16 of them; otherwise those that wait share one |
//! | queue of frames | 16 batches of 64 KiB for each peer | the most that Zenoh allows |
//! | lease | 2 s | a link without a sign of life for so long is made anew |
//! | scouting, gossip | off | only given addresses are connected |

use super::said;
use super::threads::{self, check_threads};
use super::{
    Engine, EngineError, Held, Lane, Outgoing, Question, QuestionSink, Replies, ReplySink, Sample,
    SampleSink,
};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{mpsc, Mutex, PoisonError};
use std::time::Duration;
use zenoh::bytes::Encoding;
use zenoh::pubsub::Publisher;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::{ConsolidationMode, Query, QueryTarget};
use zenoh::{Config, Session, Wait};

/// How to open the engine.
#[derive(Clone, Debug, Default)]
pub struct ZenohOptions {
    /// Addresses to listen at, `tcp/0.0.0.0:7447`.
    pub listen: Vec<String>,
    /// Addresses to connect to, again and again until it succeeds.
    pub connect: Vec<String>,
    /// A configuration file of Zenoh, for certificates, access control and tuning. What it sets counts; addresses are
    /// added.
    pub config: Option<PathBuf>,
}

/// What is set unless a configuration file is given.
const SETTINGS: [(&str, &str); 6] = [
    ("mode", "\"peer\""),
    ("scouting/multicast/enabled", "false"),
    ("scouting/gossip/enabled", "false"),
    ("transport/link/tx/lease", "2000"),
    ("transport/link/tx/queue/size/data_high", "16"),
    ("connect/exit_on_failure", "false"),
];

/// Keys whose publishers are kept. An engine that publishes under more of them makes a publisher for each.
const KEPT: usize = 1024;

/// A Zenoh session.
///
/// Dropping it closes the session, and waits no longer than a second for that.
pub struct Zenoh {
    /// Taken when it is dropped.
    session: Option<Session>,
    listen: Vec<String>,
    publishers: Mutex<HashMap<(String, Lane), Publisher<'static>>>,
}

fn failed<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> EngineError {
    let what = what.into();
    move |error| EngineError {
        what,
        why: error.to_string(),
    }
}

impl Zenoh {
    fn session(&self) -> Result<&Session, EngineError> {
        self.session.as_ref().ok_or_else(|| EngineError {
            what: "use the network".to_owned(),
            why: "it is closed".to_owned(),
        })
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`EngineError`] if the environment says something about threads that Zenoh does not take
    /// ([`check_threads`] says that alone), if the system has no room for threads, after which Zenoh cannot be used in this process,
    /// if the configuration file cannot be used, or if an address cannot be listened at. An address that cannot be connected to is no
    /// error.
    pub fn open(options: &ZenohOptions) -> Result<Self, EngineError> {
        for address in options.listen.iter().chain(&options.connect) {
            check(address).map_err(failed(format!("use the address {address:?}")))?;
        }
        check_threads().map_err(failed("start the threads of Zenoh"))?;
        threads::start()?;
        let mut config = match &options.config {
            Some(path) => Config::from_file(path)
                .map_err(failed(format!("read the configuration {}", path.display())))?,
            None => {
                let mut config = Config::default();
                for (key, value) in SETTINGS {
                    config
                        .insert_json5(key, value)
                        .map_err(failed(format!("set {key}")))?;
                }
                config
            }
        };
        for (key, addresses) in [
            ("listen/endpoints", &options.listen),
            ("connect/endpoints", &options.connect),
        ] {
            // Without a file, no address that was not given is listened at.
            if !addresses.is_empty() || options.config.is_none() {
                let list = serde_json::json!(addresses).to_string();
                config
                    .insert_json5(key, &list)
                    .map_err(failed(format!("use the addresses {list}")))?;
            }
        }
        let session = zenoh::open(config).wait().map_err(failed(format!(
            "open a Zenoh session at {:?} to {:?}",
            options.listen, options.connect
        )))?;
        Ok(Self {
            session: Some(session),
            listen: options.listen.clone(),
            publishers: Mutex::default(),
        })
    }
}

/// Says what is wrong with an address. Zenoh itself would try some of them for ever.
fn check(address: &str) -> Result<(), &'static str> {
    let (protocol, rest) = address
        .split_once('/')
        .ok_or("an address is tcp/HOST:PORT or tls/HOST:PORT")?;
    match protocol {
        "tcp" => {}
        "tls" if cfg!(feature = "tls") => {}
        "tls" => return Err("this program was built without TLS: build it with the feature tls"),
        _ => return Err("the protocols are tcp and tls"),
    }
    // What stands behind these are settings of the link.
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, port) = place.rsplit_once(':').ok_or("the port is missing")?;
    if host.is_empty() {
        return Err("the host is missing");
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err("the port is a number up to 65535"),
    }
}

/// How long an end waits for what is on its way. Zenoh itself waits for ten seconds, where a host accepts connections and
/// then says nothing.
const CLOSING: Duration = Duration::from_secs(1);

impl Drop for Zenoh {
    fn drop(&mut self) {
        let publishers = std::mem::take(
            self.publishers
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let session = self.session.take();
        let (closed, is_closed) = mpsc::channel();
        let closing = std::thread::Builder::new().name("closing".to_owned());
        let spawned = closing.spawn(move || {
            drop(publishers);
            drop(session);
            let _ = closed.send(());
        });
        // Without a thread, it was closed just now.
        if spawned.is_ok() {
            let _ = is_closed.recv_timeout(CLOSING);
        }
    }
}

fn quality(lane: Lane) -> (Priority, bool) {
    match lane {
        Lane::Control => (Priority::InteractiveHigh, true),
        Lane::Data => (Priority::DataHigh, false),
        Lane::Plain => (Priority::Data, false),
    }
}

struct ZenohReplies {
    query: Query,
}

impl Replies for ZenohReplies {
    fn reply(&self, bytes: Vec<u8>) {
        let key = self.query.key_expr().clone();
        // It may be lost, as anything.
        let _ = self.query.reply(key, bytes).wait();
    }
}

/// Says that there are no more replies, when Zenoh drops the callback.
struct End(ReplySink);

impl Drop for End {
    fn drop(&mut self) {
        (self.0)(None);
    }
}

impl Engine for Zenoh {
    fn publish(&self, outgoing: Outgoing<'_>) -> Result<(), EngineError> {
        let what = || format!("publish under {}", outgoing.key);
        let kept = self.publishers.lock();
        let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
        let at = (outgoing.key.to_owned(), outgoing.lane);
        if !kept.contains_key(&at) {
            if kept.len() >= KEPT {
                kept.clear();
            }
            let (priority, express) = quality(outgoing.lane);
            let publisher = self
                .session()?
                .declare_publisher(outgoing.key.to_owned())
                .congestion_control(CongestionControl::Drop)
                .priority(priority)
                .express(express)
                .wait()
                .map_err(failed(what()))?;
            kept.insert(at.clone(), publisher);
        }
        let Some(publisher) = kept.get(&at) else {
            return Ok(());
        };
        let mut put = publisher.put(outgoing.bytes);
        if let Some(encoding) = outgoing.encoding {
            put = put.encoding(Encoding::from(encoding));
        }
        if let Some(attachment) = outgoing.attachment {
            put = put.attachment(attachment);
        }
        put.wait().map_err(failed(what()))
    }

    fn subscribe(&self, key: &str, sink: SampleSink) -> Result<Held, EngineError> {
        let subscriber = self
            .session()?
            .declare_subscriber(key.to_owned())
            .callback(move |sample| {
                sink(Sample {
                    key: sample.key_expr().as_str(),
                    bytes: &sample.payload().to_bytes(),
                });
            })
            .wait()
            .map_err(failed(format!("subscribe to {key}")))?;
        Ok(Box::new(subscriber))
    }

    fn answer(&self, key: &str, sink: QuestionSink) -> Result<Held, EngineError> {
        let queryable = self
            .session()?
            .declare_queryable(key.to_owned())
            .complete(true)
            .callback(move |query| {
                sink(Question {
                    parameters: query.parameters().as_str().to_owned(),
                    replies: Box::new(ZenohReplies { query }),
                });
            })
            .wait()
            .map_err(failed(format!("answer under {key}")))?;
        Ok(Box::new(queryable))
    }

    fn ask(
        &self,
        key: &str,
        parameters: &str,
        within: Duration,
        sink: ReplySink,
    ) -> Result<(), EngineError> {
        let end = End(sink);
        let selector = format!("{key}?{parameters}");
        self.session()?
            .get(selector.as_str())
            .target(QueryTarget::All)
            .consolidation(ConsolidationMode::None)
            .congestion_control(CongestionControl::Drop)
            .priority(Priority::DataHigh)
            .timeout(within)
            .callback(move |reply| {
                if let Ok(sample) = reply.result() {
                    (end.0)(Some(sample.payload().to_bytes().into_owned()));
                }
            })
            .wait()
            .map_err(failed(format!("ask {key}")))
    }

    fn addresses(&self) -> Vec<String> {
        self.listen.clone()
    }

    fn trouble(&self) -> Option<String> {
        said::last()
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn addresses_are_checked() {
        for address in [
            "tcp/127.0.0.1:7447",
            "tcp/[::]:0",
            "tcp/exchange-3:65535",
            "tcp/[fe80::1%eth0]:7447#iface=eth0",
            "tcp/a:1?rel=1",
        ] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
        assert_eq!(check("tls/a:1").is_ok(), cfg!(feature = "tls"));
        for address in [
            "",
            "a:1",
            "tcp/",
            "tcp/a",
            "tcp/:1",
            "tcp/a:",
            "tcp/a:65536",
            "tcp/a:-1",
            "udp/a:1",
            "TCP/a:1",
        ] {
            assert!(check(address).is_err(), "{address}");
        }
    }
}
