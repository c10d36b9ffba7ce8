//! The hands: small safe functions over system calls. They decide nothing.
//!
//! This is the only room that may say `unsafe`; each use says why it is sound.
#![allow(
    unsafe_code,
    reason = "system calls that no safe wrapper covers; each is small and has its SAFETY comment"
)]

#[cfg(feature = "acts")]
pub mod acts;
pub mod file;
pub mod identity;
pub mod network;
pub mod process;
pub mod sandbox;
pub mod socket;
pub mod users;
