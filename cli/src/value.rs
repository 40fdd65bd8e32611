//! The value that `latest` and `shared` keep: a short text.

slipring::message! {
    /// A text as a value.
    pub struct Text {
        /// How many bytes are used.
        pub len: u64,
        /// The bytes.
        pub bytes: [u8; 256],
    }
}

impl Text {
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 256];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        let len = text.len() as u64;
        Some(Self { len, bytes })
    }

    pub fn bytes(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        &self.bytes[..len.min(self.bytes.len())]
    }
}
