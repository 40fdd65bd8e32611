//! The command as a user runs it: what it prints, where, and how it ends.

mod bench;
mod demo;
mod forms;
mod keeping;
mod looks;
mod messages;
mod shell;
mod signals;
