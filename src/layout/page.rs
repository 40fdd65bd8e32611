//! The description page as bytes: where each field lies, and how numbers and texts are put there.
//!
//! Layer 1. The table in `docs/reference/protocol.md` lists the same fields. Three ranges are kept for later
//! versions, each with a rule of its own.

use super::geometry::PAGE;

/// The layout this build writes and reads.
pub const LAYOUT_VERSION: u32 = 3;

/// Declares the fields of the page: a constant for where each lies, and a list of all.
macro_rules! fields {
    ($($constant:ident $name:literal $at:literal $bytes:literal $says:literal;)*) => {
        $(#[doc = $says] pub const $constant: usize = $at;)*
        /// Every field, in order: its name, where it lies, and how many bytes it has.
        pub const FIELDS: &[(&str, usize, usize)] = &[$(($name, $at, $bytes)),*];
    };
}

fields! {
    MAGIC "magic" 0 8 "The magic.";
    VERSION "version" 8 4 "The version of the layout.";
    BYTE_ORDER "byte_order" 12 4 "The byte order mark.";
    INCOMPATIBLE "incompatible" 16 8 "Features a process must know to attach.";
    FOR_PRODUCERS "for_producers" 24 8 "Features a producer must know. None yet.";
    FOR_NONE "for_none" 32 8 "Features that all may ignore. None yet.";
    CAPACITY "capacity" 40 8 "Bytes of data.";
    BLOCK "block" 48 8 "Bytes per index entry.";
    ALIGN "align" 56 4 "Frame alignment.";
    ROWS "rows" 60 4 "Rows.";
    LARGEST "largest" 64 4 "The largest payload.";
    BOARD "board" 68 4 "Words of the board.";
    FIRST_SEQUENCE "first_sequence" 72 8 "Sequence of the first message.";
    INDEX_OFFSET "index_offset" 80 8 "Where the index lies.";
    DATA_OFFSET "data_offset" 88 8 "Where the data lie.";
    STREAM_BYTES "stream_bytes" 96 8 "Bytes of `stream`.";
    CONTROL_BYTES "control_bytes" 104 8 "Bytes of `control`.";
    RING_ID "ring_id" 112 16 "The identity of the ring.";
    BOOT_ID "boot_id" 128 16 "The boot in which it was made, or zero.";
    CREATED_NS "created_ns" 144 8 "When it was made.";
    SCHEMA_HASH "schema_hash" 152 8 "The hash of the schema, or zero.";
    SCHEMA_BYTES "schema_bytes" 160 4 "The length of the schema, or zero.";
    FORM "form" 164 4 "The form.";
    EVICT_AFTER_NS "evict_after_ns" 168 8 "How long a publish may be held back, or zero.";
    FIRST_PARAMETER "first_parameter" 176 8 "What the form decides.";
    SECOND_PARAMETER "second_parameter" 184 8 "What the form decides.";
    MAKER_AT "maker" 192 32 "The implementation that made the ring.";
    ORIGIN_ID "origin_id" 224 16 "The identity of the origin, or zero.";
    ORIGIN_EPOCH "origin_epoch" 240 8 "The epoch of the origin's producer.";
    ORIGIN_HOST_AT "origin_host" 248 64 "The name of the origin's host.";
    OPAQUE_HASH "schema_file_hash" 312 8 "The hash of the schema file, or zero.";
    OPAQUE_BYTES "schema_file_bytes" 320 4 "The length of the schema file, or zero.";
    SCHEMA "schema" 512 3576 "The text of the schema. What it does not fill is zero.";
    CHECKSUM "checksum" 4088 8 "The checksum; it covers everything before.";
}

/// Name and version of the implementation that made the ring, for display.
pub const MAKER: Text = Text {
    at: MAKER_AT,
    width: 32,
};
/// The name of the origin's host.
pub const ORIGIN_HOST: Text = Text {
    at: ORIGIN_HOST_AT,
    width: 64,
};
/// Kept for what else is to be said of schemas. Zero in this version; a reader refuses a page with anything else
/// there.
pub const SCHEMA_RESERVED: core::ops::Range<usize> = 324..344;
/// Kept for what every reader has to know. Zero in this version; a reader refuses a page with anything else
/// there.
pub const RESERVED: core::ops::Range<usize> = 344..416;
/// Kept for what a reader need not know. Zero in this version; a reader ignores what is there.
pub const IGNORED: core::ops::Range<usize> = 416..512;

/// The bytes of the page.
pub type Page = [u8; PAGE as usize];

/// A field that holds a text: UTF-8 without control characters, filled up with zero bytes.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Where it lies.
    pub at: usize,
    /// Its width in bytes.
    pub width: usize,
}

impl Text {
    /// Returns `true` if the text can be stored in this field.
    pub fn holds(self, text: &str) -> bool {
        text.len() <= self.width && !text.chars().any(char::is_control)
    }

    /// Stores a text; one that the field does not [hold](Self::holds) leaves it empty.
    pub fn put(self, page: &mut Page, text: &str) {
        let text = if self.holds(text) { text } else { "" };
        page[self.at..self.at + text.len()].copy_from_slice(text.as_bytes());
    }

    /// The text; `None` if the bytes are none.
    pub fn get(self, page: &Page) -> Option<&str> {
        let bytes = &page[self.at..self.at + self.width];
        let len = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        // A zero byte within the text is a control character.
        let text = core::str::from_utf8(&bytes[..len]).ok()?;
        self.holds(text).then_some(text)
    }
}

/// Stores bytes at an offset.
pub fn put<const N: usize>(page: &mut Page, at: usize, bytes: [u8; N]) {
    page[at..at + N].copy_from_slice(&bytes);
}

/// The bytes at an offset.
pub fn get<const N: usize>(page: &Page, at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&page[at..at + N]);
    bytes
}

/// The number of four bytes at an offset.
pub fn u32_at(page: &Page, at: usize) -> u32 {
    u32::from_le_bytes(get(page, at))
}

/// The number of eight bytes at an offset.
pub fn u64_at(page: &Page, at: usize) -> u64 {
    u64::from_le_bytes(get(page, at))
}

/// The number of sixteen bytes at an offset.
pub fn u128_at(page: &Page, at: usize) -> u128 {
    u128::from_le_bytes(get(page, at))
}

/// The offset of the first byte of a range that is not zero.
pub fn first_set(page: &Page, range: core::ops::Range<usize>) -> Option<usize> {
    range.into_iter().find(|at| page[*at] != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_follow_each_other_up_to_the_checksum() {
        const {
            assert!(MAKER.at + MAKER.width == ORIGIN_ID && ORIGIN_ID + 16 == ORIGIN_EPOCH);
            assert!(ORIGIN_EPOCH + 8 == ORIGIN_HOST.at);
            assert!(ORIGIN_HOST.at + ORIGIN_HOST.width == OPAQUE_HASH);
            assert!(OPAQUE_HASH + 8 == OPAQUE_BYTES && OPAQUE_BYTES + 4 == SCHEMA_RESERVED.start);
            assert!(SCHEMA_RESERVED.end == RESERVED.start && RESERVED.end == IGNORED.start);
            assert!(IGNORED.end == SCHEMA && SCHEMA < CHECKSUM);
            assert!(CHECKSUM + 8 == PAGE as usize);
        };
        let reserved = [SCHEMA_RESERVED, RESERVED, IGNORED].map(|range| (range.start, range.end));
        let fields = FIELDS.iter().map(|(_, at, bytes)| (*at, at + bytes));
        let mut ranges: Vec<(usize, usize)> = fields.chain(reserved).collect();
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            assert_eq!(pair[0].1, pair[1].0);
        }
    }

    #[test]
    fn a_text_is_read_as_it_was_stored_or_not_at_all() {
        let field = Text { at: 10, width: 8 };
        for text in ["", "a", "eight by", "h\u{e4}user", "a b"] {
            let mut page = [0; PAGE as usize];
            field.put(&mut page, text);
            assert_eq!(field.get(&page), Some(text));
            assert!(page[18..].iter().all(|byte| *byte == 0));
        }
        for text in ["nine byte", "\n", "a\u{1b}[2J", "\u{7f}", "\u{9b}1m"] {
            assert!(!field.holds(text), "{text:?}");
            let mut page = [0; PAGE as usize];
            field.put(&mut page, text);
            assert_eq!(field.get(&page), Some(""));
        }
        for bytes in [&b"a\0b"[..], b"\x1b[2J", b"\xff", b"\xc3"] {
            let mut page = [0; PAGE as usize];
            page[10..10 + bytes.len()].copy_from_slice(bytes);
            assert_eq!(field.get(&page), None, "{bytes:?}");
        }
    }
}
