//! SCRAM, RFC 5802: a challenge for whoever begins, and whether it was met. auth keeps nothing between the two: what it has to
//! know again stands in its part of the nonce, under a code that nobody else can make.
//!
//! So a proof can be shown twice, by a submission that has been taken over: for the same session, client and name, which is
//! the ticket that it was given before.

use super::{Auth, Why};
use crate::ipc::check::{Challenge, Found, Proof, Question};
use crate::passwords::scram::Proved;
use crate::seal::{self, CODE_OCTETS};
use aws_lc_rs::{constant_time, hmac};
use data_encoding::BASE64_NOPAD;
use serde::Serialize;
use smtp::scram::Bare;
use std::net::IpAddr;

/// What is vouched for begins with this, so that the key can never vouch for anything else.
const PURPOSE: &[u8] = b"ringmail scram nonce 1\0";
/// Octets of a nonce that are drawn: nobody meets the same twice.
const DRAWN_OCTETS: usize = 16;
/// Octets of a nonce, without their base64.
const NONCE_OCTETS: usize = DRAWN_OCTETS + CODE_OCTETS;

/// Makes nonces, and knows them again, as long as this process lives.
pub(super) struct Nonces(hmac::Key);

/// Whom a nonce is for.
#[derive(Serialize)]
struct Begun<'a> {
    session: u64,
    peer: IpAddr,
    user: &'a str,
    bare: &'a str,
    drawn: [u8; DRAWN_OCTETS],
}

impl Nonces {
    pub(super) fn new() -> Self {
        let key = sys::file::random_octets::<CODE_OCTETS>();
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// A new one, for who began so.
    fn draw(&self, question: &Question, bare: &str) -> String {
        let drawn = sys::file::random_octets();
        let mut nonce = [0; NONCE_OCTETS];
        nonce[..DRAWN_OCTETS].copy_from_slice(&drawn);
        nonce[DRAWN_OCTETS..].copy_from_slice(self.code(question, bare, drawn).as_ref());
        BASE64_NOPAD.encode(&nonce)
    }

    /// Whether it was drawn for who began so.
    fn knows(&self, question: &Question, bare: &str, nonce: &str) -> bool {
        let octets = BASE64_NOPAD.decode(nonce.as_bytes()).unwrap_or_default();
        let Some((drawn, code)) = octets.split_first_chunk() else {
            return false;
        };
        let right = self.code(question, bare, *drawn);
        constant_time::verify_slices_are_equal(right.as_ref(), code).is_ok()
    }

    fn code(&self, question: &Question, bare: &str, drawn: [u8; DRAWN_OCTETS]) -> hmac::Tag {
        let begun = Begun {
            session: question.session,
            peer: question.peer,
            user: &question.user,
            bare,
            drawn,
        };
        seal::code(&self.0, PURPOSE, &begun)
    }
}

impl Auth {
    /// What a name is to be proved with, whether there is one or not: no thread is asked, and nobody waits.
    pub(super) fn challenge(&self, question: &Question, bare: &str) -> Result<Found, Why> {
        let passwords = self.passwords.borrow().clone().ok_or(Why::NobodyCan)?;
        let begins = Bare::parse(bare).is_some_and(|read| *read.user == *question.user);
        if !begins {
            return Err(Why::Unchallenged);
        }
        let (salt, iterations) = passwords.challenge(&question.user);
        let nonce = self.nonces.draw(question, bare);
        Ok(Found::Challenge(Box::new(Challenge {
            nonce,
            salt,
            iterations,
        })))
    }

    /// Whether it was proved. What is wrong counts as wrong passwords do.
    pub(super) fn prove(&self, question: &Question, proof: &Proof) -> Result<Found, Why> {
        let passwords = self.passwords.borrow().clone().ok_or(Why::NobodyCan)?;
        let tickets = self.tickets.borrow().clone().ok_or(Why::NobodyCan)?;
        let Proof {
            bare,
            nonce,
            without_proof,
            code,
        } = proof;
        if !self.nonces.knows(question, bare, nonce) {
            return Err(Why::Unchallenged);
        }
        let (checked, signature) = passwords.prove(
            &question.user,
            &Proved {
                bare,
                nonce,
                without_proof,
                code,
            },
        );
        let login = self.judged(question, checked, &tickets)?;
        Ok(Found::Proved(Box::new(login), signature))
    }
}

#[cfg(test)]
mod tests;
