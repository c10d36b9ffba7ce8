//! Numbers from a seed: what goes wrong once goes wrong again.

/// xorshift64*.
pub struct Random(u64);

impl Random {
    /// From a seed, which is not 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        let at = self.below(these.len() as u64);
        &these[usize::try_from(at).unwrap_or(0)]
    }

    pub fn octets(&mut self, most: u64) -> Vec<u8> {
        let count = self.below(most);
        (0..count).map(|_| self.next().to_le_bytes()[3]).collect()
    }

    /// What is no frame of an arrow: octets of any kind, or a right prefix and octets behind it.
    pub fn rubbish(&mut self) -> Vec<u8> {
        if self.below(2) == 0 {
            // At least as long as a prefix: an end that waits for the rest of one has heard nothing wrong yet.
            return [vec![0xFF; 10], self.octets(200)].concat();
        }
        // No number and no kind of record begins like this.
        let head = [vec![0xFF; 10], self.octets(64)].concat();
        let mut frame = Vec::new();
        // As long as a frame can say it is, and then another head.
        let octets = ringmail::ipc::encode(&(), &[], 0, &mut frame).map(|()| head.len());
        frame[1] = octets.map_or(0, |octets| u8::try_from(octets).unwrap_or(0));
        [frame, head].concat()
    }
}
