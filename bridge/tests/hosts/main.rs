//! Several hosts, as far as one machine can be several: processes of the command, over TCP, killed, stopped, and cut off
//! from each other.

mod chaos;
mod faults;
mod ledger;
mod link;
mod loopback;
mod namespaces;
mod notes;
mod outside;
#[path = "../shared/port.rs"]
mod port;
mod process;
