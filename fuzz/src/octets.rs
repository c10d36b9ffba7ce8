//! Choices out of octets: what the engine changes is what happens.

/// Octets that are used up from the front. When there are none left every choice is the first one.
#[derive(Clone, Debug)]
pub struct Octets<'a>(pub &'a [u8]);

impl<'a> Octets<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next one; 0 when none is left.
    pub fn octet(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number of two octets.
    pub fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.octet(), self.octet()])
    }

    /// One number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = if bound > 256 {
            self.number().into()
        } else {
            usize::from(self.octet())
        };
        number.checked_rem(bound).unwrap_or(0)
    }

    /// The next so many, or as many as are left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Cuts a text into pieces whose lengths come from a seed: the same seed, the same pieces.
pub fn pieces(text: &[u8], seed: u64, longest: usize) -> Vec<&[u8]> {
    let mut rng = sim::rng::Rng::new(seed);
    let (mut rest, mut pieces) = (text, Vec::new());
    while !rest.is_empty() {
        let length = 1 + usize::try_from(rng.below(longest as u64)).unwrap_or(0);
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
