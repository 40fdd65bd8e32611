//! Messages as arrays of words, for those who take types instead of bytes.

use std::io;

/// The bytes of a message as what a typed queue takes, without a copy.
#[inline(always)]
pub fn of_bytes<const N: usize>(message: &[u8]) -> io::Result<&[u64; N]> {
    bytemuck::try_from_bytes(message).map_err(|error| io::Error::other(error.to_string()))
}

/// Opens a channel that is generic over the number of words in a message, for the sizes that are
/// measured; those listed, or all.
#[macro_export]
macro_rules! sized {
    ($place:expr, $channel:ident) => {
        $crate::sized!($place, $channel, 16, 32, 64, 256, 1024, 65536)
    };
    ($place:expr, $channel:ident, $($bytes:literal),+) => {
        match $place.load.size {
            $($bytes => $crate::boxed($channel::<{ $bytes / 8 }>::open($place)),)+
            size => Err(std::io::Error::other(format!(
                "no type was made for messages of {size} bytes"
            ))),
        }
    };
}
