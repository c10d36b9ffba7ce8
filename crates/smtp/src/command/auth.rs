//! AUTH as a server reads it: the command (RFC 4954 §4), and the parameter of MAIL that bears its name (§5).

use super::{Command, CommandError};
use crate::extension::Mechanism;
use mail::Mailbox;
use std::fmt;

/// What stands behind the mechanism of AUTH, as it was written: base64, or `=` for nothing. It may be a password, so that
/// `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InitialResponse<'a>(pub &'a str);

impl fmt::Debug for InitialResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InitialResponse(..)")
    }
}

/// `sasl-mech [SP initial-response]`, RFC 4954 §8.
pub(super) fn command(argument: &str) -> Result<Command<'_>, CommandError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(CommandError::Argument)?;
    let initial_response = words.next().map(InitialResponse);
    if words.next().is_some() {
        return Err(CommandError::Argument);
    }
    Ok(Command::Auth {
        mechanism: Mechanism::from_name(mechanism),
        initial_response,
    })
}

/// Whether this may stand behind `AUTH=`.
///
//= https://www.rfc-editor.org/rfc/rfc4954#section-8
//# ;; The decoded form of the xtext MUST be
//# ;; either a <mailbox> or the two
//# ;; characters "<>"
pub(super) fn is_submitter(xtext: &str) -> bool {
    decoded(xtext).is_some_and(|text| text == "<>" || Mailbox::parse(&text).is_ok())
}

/// The meaning of an xtext (RFC 3461 §4), of which none but graphic ASCII without `=` is left by whoever read the line.
fn decoded(xtext: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(xtext.len());
    let mut bytes = xtext.bytes();
    while let Some(byte) = bytes.next() {
        octets.push(match byte {
            b'+' => 16 * digit(bytes.next()?)? + digit(bytes.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(octets).ok()
}

/// RFC 3461 §4 wants capitals, and RFC 4954 §8 does not.
fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command<'_>, CommandError> {
        Command::parse(line.as_bytes())
    }

    #[test]
    fn auth_is_read_in_any_case_and_never_shown() {
        let auth = |mechanism, response: Option<&'static str>| {
            Ok(Command::Auth {
                mechanism,
                initial_response: response.map(InitialResponse),
            })
        };
        let (plain, login) = (Some(Mechanism::Plain), Some(Mechanism::Login));
        assert_eq!(parse("AUTH PLAIN"), auth(plain, None));
        assert_eq!(
            parse("auth  plain  AGEAYg== "),
            auth(plain, Some("AGEAYg=="))
        );
        assert_eq!(parse("Auth Login ="), auth(login, Some("=")));
        assert_eq!(parse("AUTH CRAM-MD5"), auth(None, None));
        assert_eq!(parse("AUTH PLAINER x"), auth(None, Some("x")));
        for line in ["AUTH", "AUTH ", "AUTH PLAIN a b"] {
            assert_eq!(parse(line), Err(CommandError::Argument), "{line}");
        }
        assert_eq!(parse("AUTHPLAIN"), Err(CommandError::Unrecognized));
        let shown = format!("{:?}", parse("AUTH PLAIN AGEAYg=="));
        assert!(
            shown.contains("Plain") && !shown.contains("AGEA"),
            "{shown}"
        );
    }

    #[test]
    fn the_parameter_is_a_mailbox_in_xtext_or_nobody() {
        for good in [
            "<>",
            "a@b.c",
            "e+3Dmc2@example.com",
            "e+3dmc2@example.com",
            "+22a+20b+22@b.c",
            "+61@b.c",
        ] {
            let line = format!("MAIL FROM:<> auth={good}");
            match parse(&line) {
                Ok(Command::Mail { parameters, .. }) => assert!(parameters.auth),
                other => panic!("{line}: {other:?}"),
            }
        }
        for bad in [
            "=",
            "",
            "=a",
            "=<a@b.c>",
            "=a@b.c+",
            "=a@b.c+4",
            "=a+G0@b.c",
            "=a+-1@b.c",
            "=a++1@b.c",
            "=raw+0Aextra",
            "=a+0A@b.c",
            "=a+00@b.c",
            "=+FF@b.c",
            "=<> AUTH=<>",
        ] {
            let line = format!("MAIL FROM:<> AUTH{bad}");
            let why = if bad == "=" {
                CommandError::Parameter
            } else {
                CommandError::AuthParameter
            };
            assert_eq!(parse(&line).map(|_| ()), Err(why), "{line}");
        }
        let Ok(Command::Mail { parameters, .. }) = parse("MAIL FROM:<>") else {
            panic!("not read")
        };
        assert!(!parameters.auth);
    }
}
