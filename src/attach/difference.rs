//! How an existing object differs from what `create_or_open` asked for.
//!
//! Layer 5. Only settings that a ring keeps for life are compared. The schema has to agree, so only its hints
//! are ever a difference.

use crate::layout::description::Description;
use crate::layout::form::Form;
use crate::layout::opaque::OpaqueMark;
use crate::layout::queue::QueueNumbers;
use crate::segment::Segment;
use core::fmt;
use std::time::Duration;

/// One setting in which an existing object differs from what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The setting, in a word or two.
    pub setting: &'static str,
    /// The value that was asked for.
    pub wanted: String,
    /// The value of the existing object.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (setting, wanted, found) = (self.setting, &self.wanted, &self.found);
        write!(f, "{setting}: {found}, not {wanted}")
    }
}

/// How an object differs from the description and the mode that were asked for.
pub(super) fn between(wanted: &Description, mode: u32, found: &Segment) -> Vec<Difference> {
    let mut settings = Vec::new();
    let present = settings_of(found.description());
    for ((setting, wanted), (_, found)) in settings_of(wanted).into_iter().zip(present) {
        settings.push((setting, wanted, found));
    }
    if let (Some(wanted), Some(found)) = (&wanted.schema, &found.description().schema) {
        settings.push(("schema", wanted.to_string(), found.to_string()));
    }
    if let Some(wanted) = wanted.opaque {
        let shown = |mark: Option<OpaqueMark>| match mark {
            Some(mark) => format!("{} bytes with the hash {:016x}", mark.bytes, mark.hash),
            None => "none".to_owned(),
        };
        let present = shown(found.description().opaque);
        settings.push(("opaque schema", shown(Some(wanted)), present));
    }
    if let Some((wanted, found)) = found.other_mode(mode) {
        settings.push(("mode", format!("{wanted:04o}"), format!("{found:04o}")));
    }
    let differing = settings
        .into_iter()
        .filter(|(_, wanted, found)| wanted != found);
    differing
        .map(|(setting, wanted, found)| Difference {
            setting,
            wanted,
            found,
        })
        .collect()
}

/// The settings of a form that its user chooses.
fn settings_of(description: &Description) -> Vec<(&'static str, String)> {
    let geometry = &description.geometry;
    let [first, second] = description.parameters;
    let halves = |word: u64| (word as u32, (word >> 32) as u32);
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let mut settings = match description.form {
        Form::Ring => {
            let patience = match geometry.evicts() {
                true => format!("{:?}", Duration::from_nanos(geometry.evict_after_ns)),
                false => "never".to_owned(),
            };
            vec![
                ("capacity", geometry.capacity.to_string()),
                ("frame alignment", geometry.align.to_string()),
                ("first sequence", geometry.first_sequence.to_string()),
                ("evicts after", patience),
                ("stamps", yes(geometry.stamped)),
                ("huge pages", yes(geometry.huge)),
            ]
        }
        Form::Queue => {
            let numbers = QueueNumbers::of(description.parameters);
            let lane = match numbers.lane_bits {
                0 => "none".to_owned(),
                bits => format!("2^{bits} bytes"),
            };
            let lease = match numbers.lease() {
                Some(lease) => format!("{lease:?}"),
                None => "none".to_owned(),
            };
            vec![
                ("depth", numbers.depth.to_string()),
                ("message bytes", numbers.message_bytes.to_string()),
                ("lease", lease),
                ("bound of a lane", lane),
            ]
        }
        Form::Mailbox => {
            let ((depth, one_way), (bytes, receivers)) = (halves(first), halves(second));
            vec![
                ("depth", depth.to_string()),
                ("one way", yes(one_way != 0)),
                ("message bytes", bytes.to_string()),
                ("receivers", receivers.to_string()),
            ]
        }
        Form::Pipe => vec![
            ("capacity", geometry.capacity.to_string()),
            ("both ways", yes(first == 2)),
        ],
        Form::Link => vec![("capacity", geometry.capacity.to_string())],
        Form::Latest => vec![("cells", first.to_string())],
        Form::Semaphore => vec![
            ("permits", first.to_string()),
            ("most permits", second.to_string()),
        ],
        Form::Lane | Form::Shared | Form::Signals => Vec::new(),
    };
    let users = match description.form {
        Form::Queue => "receivers",
        Form::Mailbox => "clients",
        Form::Signals => "listeners",
        Form::Semaphore | Form::Shared => "handles",
        _ => "readers",
    };
    settings.push((users, geometry.rows.to_string()));
    settings
}
