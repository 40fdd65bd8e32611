//! Rings of one message type, which is compared field by field when a process attaches.
//!
//! Layer 6. Imports the endpoints. A message is a plain struct whose every bit pattern is a value;
//! the [`message!`](crate::message) macro declares one, proves that it has no padding, and writes its
//! schema.

mod consumer;
mod declare;
#[cfg(feature = "async")]
mod event;
mod handle;
mod message;
mod observer;
mod producer;
mod ring;
mod value;

pub use consumer::TypedConsumer;
pub use declare::{field_text, hint_text, message_text, schema_field, schema_name, Element, Plain};
pub use message::TypedMessage;
pub use observer::{TypedObserver, TypedReceived};
pub use producer::TypedProducer;
pub use ring::Typed;
pub use value::Value;
