//! Rings of one message type, which is compared field by field when a process attaches.
//!
//! Layer 6. Imports the endpoints. A message is a plain struct whose every bit pattern is a value;
//! the [`message!`](crate::message) macro declares one, proves that it has no padding, and writes its
//! schema.

mod declare;
#[cfg(feature = "async")]
mod event;
mod handles;
mod value;

pub use declare::{field_text, hint_text, message_text, schema_field, schema_name, Element, Plain};
pub use handles::{
    Typed, TypedConsumer, TypedMessage, TypedObserver, TypedProducer, TypedReceived,
};
pub use value::Value;
