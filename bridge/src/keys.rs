//! The keys under which a ring is served.
//!
//! | key | holds |
//! |---|---|
//! | `slipring/1/REALM/RING/meta` | asked: the description of the ring; with `as` and `instance`, also whether that mirror may begin |
//! | `slipring/1/REALM/RING/status` | asked: the state of the source, as JSON |
//! | `slipring/1/REALM/RING/ID/data` | published: frames |
//! | `slipring/1/REALM/RING/ID/fetch` | asked, with `from` and `to`: frames of what is still there |
//! | `slipring/1/REALM/RING/ID/clock` | asked: the time of the source's host, nanoseconds since 1970 in 8 bytes, little-endian |
//! | `slipring/1/REALM/RING/ID/ack/MIRROR` | published: how far a mirror is |
//! | `slipring/1/REALM/RING/ID/stat/MIRROR` | published: what a mirror has counted, as JSON |
//!
//! ID is the identity of the ring in 32 hexadecimal digits. So a ring that was made anew shares no key with its
//! predecessor but those that are asked.

use slipring_mirror::Name;

/// The keys of one name in a realm.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(realm: &Name, ring: &Name) -> Self {
        Self {
            prefix: format!("slipring/1/{realm}/{ring}"),
        }
    }

    pub fn meta(&self) -> String {
        format!("{}/meta", self.prefix)
    }

    pub fn status(&self) -> String {
        format!("{}/status", self.prefix)
    }

    pub fn data(&self, id: u128) -> String {
        format!("{}/{id:032x}/data", self.prefix)
    }

    pub fn fetch(&self, id: u128) -> String {
        format!("{}/{id:032x}/fetch", self.prefix)
    }

    pub fn ack(&self, id: u128, mirror: &Name) -> String {
        format!("{}/{id:032x}/ack/{mirror}", self.prefix)
    }

    pub fn clock(&self, id: u128) -> String {
        format!("{}/{id:032x}/clock", self.prefix)
    }

    pub fn stat(&self, id: u128, mirror: &Name) -> String {
        format!("{}/{id:032x}/stat/{mirror}", self.prefix)
    }

    pub fn stats(&self, id: u128) -> String {
        format!("{}/{id:032x}/stat/*", self.prefix)
    }

    pub fn acks(&self, id: u128) -> String {
        format!("{}/{id:032x}/ack/*", self.prefix)
    }
}
