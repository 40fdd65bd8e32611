//! The description page as bytes: where each field lies, and how numbers and texts are put there.
//!
//! Layer 1. The table in `docs/reference/protocol.md` lists the same fields. Three ranges are kept for later
//! versions, each with a rule of its own.

use super::geometry::PAGE;

/// The layout this build writes and reads.
pub const LAYOUT_VERSION: u32 = 3;

/// Name and version of the implementation that made the ring, for display.
pub const MAKER: Text = Text { at: 192, width: 32 };
/// The identity of the origin, or zero.
pub const ORIGIN_ID: usize = 224;
/// The epoch of the origin's producer.
pub const ORIGIN_EPOCH: usize = 240;
/// The name of the origin's host.
pub const ORIGIN_HOST: Text = Text { at: 248, width: 64 };
/// The hash of the schema file, or zero.
pub const OPAQUE_HASH: usize = 312;
/// The length of the schema file, or zero.
pub const OPAQUE_BYTES: usize = 320;
/// Kept for what else is to be said of schemas. Zero in this version; a reader refuses a page with anything else
/// there.
pub const SCHEMA_RESERVED: core::ops::Range<usize> = 324..344;
/// Kept for what every reader has to know. Zero in this version; a reader refuses a page with anything else
/// there.
pub const RESERVED: core::ops::Range<usize> = 344..416;
/// Kept for what a reader need not know. Zero in this version; a reader ignores what is there.
pub const IGNORED: core::ops::Range<usize> = 416..512;
/// Where the text of the schema begins. What it does not fill is zero.
pub const SCHEMA: usize = 512;
/// Where the checksum lies; it covers everything before.
pub const CHECKSUM: usize = PAGE as usize - 8;

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
        };
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
