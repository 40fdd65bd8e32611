//! The producers of the source, one after the other, and whether the last one closed the ring.

/// Which epoch is written, and which one comes.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    /// The one that was written last.
    written: u64,
    /// A later one, and the place where it begins.
    coming: Option<(u64, u64)>,
    /// Where the source was closed, in the latest epoch that is known.
    closed: Option<u64>,
    close_written: bool,
}

impl Epochs {
    /// Of a ring that was just taken over, which begins an epoch: that of the source, unless that begins later.
    pub fn new(number: u64, later: Option<u64>) -> Self {
        let coming = later.map(|at| (number, at));
        Self {
            written: if later.is_none() { number } else { 0 },
            coming,
            ..Self::default()
        }
    }

    /// The one that was written last.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The latest that is known.
    fn latest(&self) -> u64 {
        self.coming.map_or(self.written, |(number, _)| number)
    }

    /// Where a later one than the written begins.
    pub fn coming_at(&self) -> Option<u64> {
        self.coming.map(|(_, at)| at)
    }

    /// The source has had so many producers, of which the last began at this place.
    pub fn heard(&mut self, number: u64, at: u64) {
        if number > self.latest() {
            // What came before the one that is coming, and was not written yet, belongs to it: readers are told
            // of the latest change only.
            self.coming = Some((number, at));
            self.closed = None;
        }
    }

    /// The producer of this epoch closed the ring at this place.
    pub fn closed(&mut self, number: u64, at: u64) {
        if number == self.latest() {
            self.closed = Some(at);
        }
    }

    /// Returns `true` if what is written at this place begins an epoch: one that begins there, or one of which nothing
    /// else is known but that it followed the closing.
    pub fn takes_over(&self, next: u64, held: bool) -> bool {
        self.coming.is_some_and(|(_, at)| at <= next) || self.close_written && held
    }

    /// It was taken over there.
    pub fn took_over(&mut self, next: u64) {
        if let Some((number, _)) = self.coming.take_if(|(_, at)| *at <= next) {
            self.written = number;
        }
        self.close_written = false;
    }

    /// Returns `true` if the ring is to be closed at this place.
    pub fn closes(&self, next: u64) -> bool {
        self.closed == Some(next) && !self.close_written
    }

    /// It was closed there, if it was to be.
    pub fn wrote_close(&mut self, next: u64) {
        self.close_written |= self.closed == Some(next);
    }

    /// Whether it was closed, and nobody took over since.
    pub fn is_closed(&self) -> bool {
        self.close_written
    }
}
