//! The event loop's side of things: gives brains their input and does what they put out.

pub mod arrow;
