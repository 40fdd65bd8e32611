//! Fields into bytes and out of them, little-endian, and the checksum.

/// Takes fields off the front of bytes.
pub(crate) struct Fields<'a> {
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(len)?;
        self.left = left;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A length and so many bytes.
    pub fn block(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.bytes(len as usize)
    }

    /// A length and so many bytes of UTF-8.
    pub fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.block()?).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

pub(crate) fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

/// CRC-32 (IEEE 802.3) of all bytes but the four at `at`.
pub(crate) fn checksum(bytes: &[u8], at: usize) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(bytes.get(..at).unwrap_or_default());
    sum.update(bytes.get(at + 4..).unwrap_or_default());
    sum.finalize()
}

/// Puts a checksum at the end.
pub(crate) fn seal(out: &mut Vec<u8>) {
    let sum = checksum(out, out.len());
    out.extend(sum.to_le_bytes());
}

/// What lies before a checksum at the end, if that is right.
pub(crate) fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    (checksum(body, body.len()) == u32::from_le_bytes(*sum)).then_some(body)
}
