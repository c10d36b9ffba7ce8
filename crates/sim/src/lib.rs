//! The world, virtual: what brains meet, made up from a seed.

pub mod disk;
pub mod rng;
