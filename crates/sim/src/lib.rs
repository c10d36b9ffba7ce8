//! The world, virtual: the whole mail transfer agent in one process, on a disk, a network, a clock and peers that
//! are made up from a seed.
//!
//! [`world::run`] runs the real roles (smtpd, queue, local, relay) with their real arrows between them; what they
//! reach beyond is handed to them by this crate. It kills roles, cuts the power, lets clients and next hops do
//! what they do on bad days, and then compares what was acknowledged with what arrived.

pub mod disk;
pub mod rng;
pub mod wishes;
pub mod world;
