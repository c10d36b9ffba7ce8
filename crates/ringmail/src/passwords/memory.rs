//! The memory that argon2id works in.

use super::Passwords;
use argon2::Block;
use zeroize::Zeroize as _;

/// What one thread that checks passwords works in: made once, as large as the dearest hash of the file wants, and wiped
/// after each check. Where a reload brings a dearer one it grows at the first check that wants it.
pub struct Memory {
    blocks: Vec<Block>,
    /// What was worked with, for tests.
    #[cfg(test)]
    pub(super) work: Vec<super::kind::Work>,
}

impl Memory {
    /// For checks by this file.
    pub fn new(passwords: &Passwords) -> Self {
        let blocks = passwords.all().map(super::Hash::blocks);
        Self::of(blocks.max().unwrap_or(0))
    }

    /// Of so many blocks of 1 KiB.
    pub(super) fn of(blocks: usize) -> Self {
        Self {
            blocks: vec![Block::new(); blocks],
            #[cfg(test)]
            work: Vec::new(),
        }
    }

    /// Works in so many blocks, and wipes them.
    pub(super) fn with<T>(&mut self, blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        if self.blocks.len() < blocks {
            // Those that were there are wiped already, and go before there are others.
            self.blocks = Vec::new();
            self.blocks = vec![Block::new(); blocks];
        }
        let blocks = &mut self.blocks[..blocks];
        let result = work(blocks);
        for block in blocks {
            block.zeroize();
        }
        result
    }

    /// How large it is.
    #[cfg(test)]
    pub(super) fn octets(&self) -> usize {
        self.blocks.len() * Block::SIZE
    }

    /// Whether nothing is left in it.
    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        let mut words = self.blocks.iter().flat_map(AsRef::as_ref);
        words.all(|word| *word == 0)
    }
}
