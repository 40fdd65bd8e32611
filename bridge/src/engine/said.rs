//! What Zenoh reports of links that cannot be made: the only place where it says why. And what a bridge itself reports.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Reports of which each kind is told once. More kinds than this are not kept in mind.
const KINDS: usize = 256;

/// Where the reports of this library come from.
const OWN: &str = env!("CARGO_CRATE_NAME");

#[derive(Default)]
struct Kept {
    last: Option<String>,
    told: HashSet<String>,
}

static KEPT: OnceLock<Mutex<Kept>> = OnceLock::new();

/// Begins to listen to these reports. `tell` gets each kind of them once, for people; two reports are of one kind if they
/// differ in numbers only. Does nothing if the program listens to such reports itself.
pub fn listen(tell: fn(&str)) {
    let targets = Targets::new()
        .with_target(OWN, LevelFilter::WARN)
        .with_target("zenoh", LevelFilter::WARN)
        .with_target("zenoh::net::runtime::orchestrator", LevelFilter::DEBUG)
        .with_target("zenoh_link_tls", LevelFilter::DEBUG);
    let layer = Reports { tell }.with_filter(targets);
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
}

/// The last report that says why there is no link.
pub fn last() -> Option<String> {
    let kept = KEPT.get_or_init(Mutex::default).lock();
    kept.unwrap_or_else(PoisonError::into_inner).last.clone()
}

struct Reports {
    tell: fn(&str),
}

impl<S: tracing::Subscriber> Layer<S> for Reports {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let (level, by) = (*event.metadata().level(), event.metadata().target());
        let own = by.starts_with(OWN);
        let text = if own {
            text.0
        } else if by.starts_with("zenoh_link_tls") && level == tracing::Level::WARN {
            // Of whatever went wrong when it accepted a connection, it says that the limit of open files may be reached.
            let what = text.0.split(". Hint: ").next().unwrap_or_default();
            format!("a connection was refused: {what}")
        } else if level == tracing::Level::ERROR
            || ["Unable to", "Can not"]
                .iter()
                .any(|begin| text.0.starts_with(begin))
        {
            text.0
        } else {
            // Of interest to developers.
            return;
        };
        let text = Text(without_places(&text));
        let kind: String = text.0.chars().filter(|c| !c.is_ascii_digit()).collect();
        let kept = KEPT.get_or_init(Mutex::default).lock();
        let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
        if kept.told.len() >= KINDS {
            kept.told.clear();
        }
        let first = kept.told.insert(kind);
        if !own {
            kept.last = Some(text.0.clone());
        }
        drop(kept);
        if first {
            (self.tell)(&text.0);
        }
    }
}

/// A report without the places in Zenoh's code: ` at FILE:LINE.` behind each reason.
fn without_places(text: &str) -> String {
    let mut parts = text.split(" at /");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let behind = part.split_once(".rs:").map(|(_, behind)| behind);
        let behind = behind.map(|text| text.trim_start_matches(|c: char| c.is_ascii_digit()));
        match behind {
            Some(behind) => kept += behind.strip_prefix('.').unwrap_or(behind),
            None => kept = kept + " at /" + part,
        }
    }
    kept
}

/// The message of a report.
#[derive(Default)]
struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::without_places;

    #[test]
    fn a_report_says_what_happened_and_not_where_in_the_code() {
        for (text, kept) in [
            ("Unable to connect", "Unable to connect"),
            (
                "Unable to connect to tcp/a:9! No link: [a:9: refused at /x/y-1.0/src/tcp.rs:105.] at /z/b.rs:7.. Retry in 1s.",
                "Unable to connect to tcp/a:9! No link: [a:9: refused]. Retry in 1s.",
            ),
            ("Can not open a key at /etc/key.pem", "Can not open a key at /etc/key.pem"),
        ] {
            assert_eq!(without_places(text), kept);
        }
    }
}
