//! What a receiver waits for, alone and in a set.
//!
//! Layer 7.

use super::Receiver;
use crate::endpoint::{Inside, Sealed, Source};
use crate::ring::lanes;
use crate::segment::Memory;
use crate::wait::Waited;
use core::time::Duration;

impl Waited for Receiver {
    fn ready(&mut self) -> bool {
        self.lanes().any(|lane| lane.taker.ready())
            || self.report.is_some()
            || lanes::version(self.queue.attachment.segment().reader()) != self.version
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.sweep();
        self.expire();
        self.look_after_a_lane();
        self.queue.attachment.trouble().is_some()
    }

    fn longest_sleep(&self) -> Duration {
        self.until_expiry()
    }
}

impl Sealed for Receiver {}

impl Source for Receiver {
    fn memory(&self, _: Inside) -> &Memory {
        self.queue.attachment.segment().reader()
    }

    fn longest_sleep(&self, _: Inside) -> Duration {
        self.until_expiry()
    }

    fn parks(&self) -> bool {
        self.options.strategy.parks()
    }

    fn reports(&mut self) -> bool {
        if lanes::version(self.queue.attachment.segment().reader()) != self.version {
            self.refresh();
        }
        self.report.is_some() || self.lanes().any(|lane| lane.taker.ready())
    }

    /// Returns messages that the dead held first, which may be what it then reports.
    fn reports_death(&mut self) -> bool {
        self.gone() || self.reports()
    }
}
