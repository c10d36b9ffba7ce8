//! Commands as a server reads them, RFC 5321 §4.1.1: one line in, one [`Command`] or the reason why not.

mod auth;

pub use auth::InitialResponse;

use crate::extension::Mechanism;
use mail::path::split_brackets;
use mail::{
    Domain, Envid, ForwardPath, Notify, OriginalRecipient, PathError, RecipientRequest, Ret,
    ReversePath,
};

/// One command, read and well-formed. Whether it may be given now is the session's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `EHLO`, with what the client calls itself.
    Ehlo(&'a str),
    /// `HELO`, likewise.
    Helo(&'a str),
    /// `MAIL FROM:<reverse-path>` with its parameters.
    Mail {
        /// Whom failures go to.
        reverse_path: ReversePath,
        /// What the client said of the content, and asks of reports.
        parameters: MailParameters,
    },
    /// `RCPT TO:<forward-path>` with its parameters.
    Rcpt {
        /// Whom the mail goes to.
        forward_path: ForwardPath,
        /// What is asked of the reports on it: `NOTIFY=` and `ORCPT=`, RFC 3461 §4. Whether it was offered is the session's to
        /// say.
        request: RecipientRequest,
        /// Whether all of it was written in ASCII. Else it may stand in a transaction with `SMTPUTF8` only.
        is_ascii: bool,
    },
    /// `DATA`
    Data,
    /// `BDAT`, RFC 3030 §2: so many octets of content come behind this line.
    Bdat {
        /// How many; as many as can be said where the number has more than 64 bits.
        size_octets: u64,
        /// Whether content ends with them.
        last: bool,
    },
    /// `RSET`
    Rset,
    /// `VRFY`; its argument is never looked at, for nothing is told about it.
    Vrfy,
    /// `EXPN`, likewise.
    Expn,
    /// `HELP`
    Help,
    /// `NOOP`, whatever follows it (§4.1.1.9).
    Noop,
    /// `QUIT`
    Quit,
    /// `STARTTLS`, RFC 3207 §4.
    StartTls,
    /// `AUTH`, RFC 4954 §4.
    Auth {
        /// What is logged in with; nothing where it is none of ours.
        mechanism: Option<Mechanism>,
        /// What the mechanism is to begin with, where the client said it.
        initial_response: Option<InitialResponse<'a>>,
    },
}

/// What MAIL FROM may say of the content that follows, and of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=`: the client's estimate in octets, RFC 1870 §6.
    pub size_octets: Option<u64>,
    /// `BODY=`: RFC 6152 §2.
    pub body: Option<Body>,
    /// Whether `SMTPUTF8` was said: RFC 6531 §3.4.
    pub smtputf8: bool,
    /// Whether `AUTH=` was said, RFC 4954 §5. Its value is read and not believed.
    pub auth: bool,
    /// `RET=`: RFC 3461 §4.3. Whether it was offered is the session's to say, and so of the next.
    pub ret: Option<Ret>,
    /// `ENVID=`: RFC 3461 §4.4.
    pub envid: Option<Envid>,
}

/// The value of `BODY=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Content is ASCII.
    SevenBit,
    /// Content may have octets above 127.
    EightBitMime,
}

/// Why a line is no command we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The verb is none of ours.
    Unrecognized,
    /// A request of HTTP or a protocol like it: a browser was led here, and the lines behind it may be commands that
    /// somebody else wrote.
    Foreign,
    /// The line has an octet that no command line has: a control character, one above 126 in a command that names no mailbox,
    /// or there what is no UTF-8.
    Octets,
    /// BDAT with a size that cannot be read: nobody knows where the octets behind it end.
    Chunk,
    /// An argument is missing, or stands where none may.
    Argument,
    /// The reverse-path is malformed.
    ReversePath(PathError),
    /// The forward-path is malformed.
    ForwardPath(PathError),
    /// MAIL has characters beyond ASCII, and does not say `SMTPUTF8`.
    NotSmtpUtf8,
    /// A parameter that we do not offer: RFC 5321 §4.1.1.11 answers 555.
    UnknownParameter,
    /// A parameter that we offer, with a malformed value or given twice.
    Parameter,
    /// `AUTH=` with a malformed value or given twice. Whether it was offered is the session's to say.
    AuthParameter,
    /// `RET=`, `ENVID=`, `NOTIFY=` or `ORCPT=` with a malformed value or given twice. Whether it was offered is the session's
    /// to say.
    DsnParameter,
}

/// The methods of HTTP (RFC 9110 §9.3, RFC 5789), none of which is a command of SMTP.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];
/// How the last word of a request begins, in protocols that look like SMTP.
const FOREIGN: [&str; 3] = ["HTTP/", "RTSP/", "SIP/"];
/// Most digits of `SIZE=`, RFC 1870 §5.
const SIZE_DIGITS: usize = 20;

impl<'a> Command<'a> {
    /// Reads one command line, given without its CRLF.
    pub fn parse(line: &'a [u8]) -> Result<Self, CommandError> {
        Self::read(line).map_err(|error| Self::ends_the_session(line).unwrap_or(error))
    }

    /// Whether what begins so, and is no command, is followed by octets that must not be read as commands: those of a chunk
    /// whose size nobody knows, or what a request of HTTP brings. It may be the beginning of a line that is too long.
    pub fn ends_the_session(line: &[u8]) -> Option<CommandError> {
        let verb = line.split(|b| !b.is_ascii_alphanumeric()).next()?;
        if verb.eq_ignore_ascii_case(b"BDAT") {
            return Some(CommandError::Chunk);
        }
        let is_method = METHODS
            .iter()
            .any(|method| verb.eq_ignore_ascii_case(method.as_bytes()));
        is_method.then_some(CommandError::Foreign)
    }

    fn read(line: &'a [u8]) -> Result<Self, CommandError> {
        let line = std::str::from_utf8(line).map_err(|_| CommandError::Octets)?;
        let may_stand = |b: u8| (b' '..=b'~').contains(&b) || b == b'\t' || !b.is_ascii();
        if !line.bytes().all(may_stand) || (!line.is_ascii() && !may_name_a_mailbox(line)) {
            return Err(CommandError::Octets);
        }
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, argument) = match line.split_once(' ') {
            Some((verb, argument)) => (verb, Some(argument.trim_start_matches(' '))),
            None => (line, None),
        };
        let is = |name: &str| verb.eq_ignore_ascii_case(name);
        let alone = |command| match argument {
            None => Ok(command),
            Some(_) => Err(CommandError::Argument),
        };
        if is("EHLO") {
            name_of_client(argument).map(Self::Ehlo)
        } else if is("HELO") {
            name_of_client(argument).map(Self::Helo)
        } else if is("MAIL") {
            mail(argument.ok_or(CommandError::Argument)?)
        } else if is("RCPT") {
            rcpt(argument.ok_or(CommandError::Argument)?)
        } else if is("DATA") {
            alone(Self::Data)
        } else if is("BDAT") {
            bdat(argument.ok_or(CommandError::Chunk)?)
        } else if is("RSET") {
            alone(Self::Rset)
        } else if is("VRFY") {
            Ok(Self::Vrfy)
        } else if is("EXPN") {
            Ok(Self::Expn)
        } else if is("HELP") {
            Ok(Self::Help)
        } else if is("NOOP") {
            Ok(Self::Noop)
        } else if is("QUIT") {
            alone(Self::Quit)
        } else if is("STARTTLS") {
            alone(Self::StartTls)
        } else if is("AUTH") {
            auth::command(argument.ok_or(CommandError::Argument)?)
        } else {
            let last = argument.and_then(|argument| argument.rsplit(' ').next());
            let is_foreign =
                last.is_some_and(|word| FOREIGN.iter().any(|name| word.starts_with(name)));
            Err(if is_foreign {
                CommandError::Foreign
            } else {
                CommandError::Unrecognized
            })
        }
    }
}

/// Whether it is a command in which a mailbox can stand, and so characters beyond ASCII (RFC 6531 §3.2, §3.7.4.2).
fn may_name_a_mailbox(line: &str) -> bool {
    let verb = line.split(' ').next().unwrap_or_default();
    ["MAIL", "RCPT", "VRFY", "EXPN"]
        .iter()
        .any(|name| verb.eq_ignore_ascii_case(name))
}

/// A domain or an address literal. Names that are no domain are common and harmless (RFC 5321 §4.1.4:
/// mail is not refused for them), but blanks and brackets would corrupt our Received field.
fn name_of_client(argument: Option<&str>) -> Result<&str, CommandError> {
    let name = argument.ok_or(CommandError::Argument)?;
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    //= https://www.rfc-editor.org/rfc/rfc6531#section-3.7.1
    //# MUST send only ASCII (LDH label or A-label [RFC5890]) domains in the
    //# EHLO command.
    if !name.is_ascii() {
        return Err(CommandError::Octets);
    }
    if Domain::parse(name).is_ok() || (name.len() <= 255 && name.bytes().all(word)) {
        Ok(name)
    } else {
        Err(CommandError::Argument)
    }
}

/// Cuts `FROM:` or `TO:` off, in any case, with blanks behind it (which many clients write).
fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Result<&'a str, CommandError> {
    match argument.split_at_checked(keyword.len()) {
        Some((word, rest)) if word.eq_ignore_ascii_case(keyword) => {
            Ok(rest.trim_start_matches(' '))
        }
        _ => Err(CommandError::Argument),
    }
}

fn mail(written: &str) -> Result<Command<'_>, CommandError> {
    let argument = after_keyword(written, "FROM:")?;
    let (inner, rest) = split_brackets(argument).map_err(CommandError::ReversePath)?;
    let reverse_path = ReversePath::parse(inner).map_err(CommandError::ReversePath)?;
    let mut parameters = MailParameters::default();
    for parameter in split_parameters(rest)? {
        let (keyword, value) = parameter?;
        if keyword.eq_ignore_ascii_case("SIZE") {
            set_once(&mut parameters.size_octets, value.and_then(size))?;
        } else if keyword.eq_ignore_ascii_case("BODY") {
            set_once(&mut parameters.body, value.and_then(body))?;
        } else if keyword.eq_ignore_ascii_case("SMTPUTF8") {
            //= https://www.rfc-editor.org/rfc/rfc6531#section-3.4
            //# If this parameter is
            //# provided, it MUST not accept a value.
            if parameters.smtputf8 || value.is_some() {
                return Err(CommandError::Parameter);
            }
            parameters.smtputf8 = true;
        } else if keyword.eq_ignore_ascii_case("AUTH") {
            if parameters.auth || !value.is_some_and(auth::is_submitter) {
                return Err(CommandError::AuthParameter);
            }
            parameters.auth = true;
        } else if keyword.eq_ignore_ascii_case("RET") {
            ask_once(&mut parameters.ret, value.and_then(Ret::parse))?;
        } else if keyword.eq_ignore_ascii_case("ENVID") {
            ask_once(&mut parameters.envid, value.and_then(Envid::parse))?;
        } else {
            return Err(CommandError::UnknownParameter);
        }
    }
    if !written.is_ascii() && !parameters.smtputf8 {
        return Err(CommandError::NotSmtpUtf8);
    }
    Ok(Command::Mail {
        reverse_path,
        parameters,
    })
}

fn rcpt(written: &str) -> Result<Command<'_>, CommandError> {
    let argument = after_keyword(written, "TO:")?;
    let (inner, rest) = split_brackets(argument).map_err(CommandError::ForwardPath)?;
    let forward_path = ForwardPath::parse(inner).map_err(CommandError::ForwardPath)?;
    let mut request = RecipientRequest::default();
    for parameter in split_parameters(rest)? {
        let (keyword, value) = parameter?;
        if keyword.eq_ignore_ascii_case("NOTIFY") {
            ask_once(&mut request.notify, value.and_then(Notify::parse))?;
        } else if keyword.eq_ignore_ascii_case("ORCPT") {
            let original = value.and_then(OriginalRecipient::parse);
            ask_once(&mut request.original, original)?;
        } else {
            return Err(CommandError::UnknownParameter);
        }
    }
    Ok(Command::Rcpt {
        forward_path,
        request,
        is_ascii: written.is_ascii(),
    })
}

/// `chunk-size [SP "LAST"]`, RFC 3030 §2.
fn bdat(argument: &str) -> Result<Command<'_>, CommandError> {
    let (size, marker) = match argument.split_once(' ') {
        Some((size, marker)) => (size, Some(marker.trim_start_matches(' '))),
        None => (argument, None),
    };
    let last = marker.is_some_and(|marker| marker.eq_ignore_ascii_case("LAST"));
    let digits = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
    if !digits || marker.is_some() != last {
        return Err(CommandError::Chunk);
    }
    Ok(Command::Bdat {
        // More than 64 bits hold is more than anybody takes.
        size_octets: size.parse().unwrap_or(u64::MAX),
        last,
    })
}

fn set_once<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), CommandError> {
    if slot.is_some() || value.is_none() {
        return Err(CommandError::Parameter);
    }
    *slot = value;
    Ok(())
}

//= https://www.rfc-editor.org/rfc/rfc3461#section-5.1
//# However, if the associated esmtp-value is not valid (i.e.,
//# contains illegal characters), or if there is more than one ENVID
//# or RET parameter in a particular MAIL command, the server MUST
//# issue the reply-code 501 with an appropriate message
fn ask_once<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), CommandError> {
    set_once(slot, value).map_err(|_| CommandError::DsnParameter)
}

fn size(value: &str) -> Option<u64> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    if !digits || value.len() > SIZE_DIGITS || value.is_empty() {
        return None;
    }
    // Twenty digits can exceed 64 bits; such content is too large in any case.
    Some(value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Option<Body> {
    if value.eq_ignore_ascii_case("7BIT") {
        Some(Body::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Some(Body::EightBitMime)
    } else {
        None
    }
}

type Parameter<'a> = Result<(&'a str, Option<&'a str>), CommandError>;

/// `*(SP esmtp-keyword ["=" esmtp-value])`, RFC 5321 §4.1.2. The blank before the first is required.
fn split_parameters(rest: &str) -> Result<impl Iterator<Item = Parameter<'_>>, CommandError> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(CommandError::Argument);
    }
    let words = rest.split(' ').filter(|word| !word.is_empty());
    Ok(words.map(|word| {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let ldh = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let keyword_ok = keyword.bytes().all(ldh)
            && keyword
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric());
        let value_ok = value.is_none_or(|v| {
            let may_stand = |b: u8| (b'!'..=b'~').contains(&b) || !b.is_ascii();
            !v.is_empty() && v.bytes().all(|b| may_stand(b) && b != b'=')
        });
        if keyword_ok && value_ok {
            Ok((keyword, value))
        } else {
            Err(CommandError::Parameter)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command<'_>, CommandError> {
        Command::parse(line.as_bytes())
    }

    #[test]
    fn commands_are_read_in_any_case() {
        assert_eq!(
            parse("ehlo mx.example.org"),
            Ok(Command::Ehlo("mx.example.org"))
        );
        assert_eq!(parse("HELO [127.0.0.1]"), Ok(Command::Helo("[127.0.0.1]")));
        assert_eq!(parse("EHLO my_pc:1"), Ok(Command::Ehlo("my_pc:1")));
        assert_eq!(parse("Data"), Ok(Command::Data));
        assert_eq!(parse("QUIT  "), Ok(Command::Quit));
        assert_eq!(parse("NOOP what ever"), Ok(Command::Noop));
        assert_eq!(parse("VRFY root"), Ok(Command::Vrfy));
        let Ok(Command::Mail {
            reverse_path,
            parameters,
        }) = parse("mail from: <a@b.c> size=100 BODY=8bitmime")
        else {
            panic!("not read")
        };
        assert_eq!(reverse_path.to_string(), "a@b.c");
        assert_eq!(parameters.size_octets, Some(100));
        assert_eq!(parameters.body, Some(Body::EightBitMime));
        // Not in the grammar, and written all the same.
        for line in ["MAIL FROM: a@b.c SIZE=100", "MAIL FROM:a@b.c"] {
            let Ok(Command::Mail { reverse_path, .. }) = parse(line) else {
                panic!("not read")
            };
            assert_eq!(reverse_path.to_string(), "a@b.c");
        }
        let Ok(Command::Rcpt { forward_path, .. }) = parse("RCPT TO:<.a..b.@c.d>") else {
            panic!("not read")
        };
        assert_eq!(forward_path.to_string(), "\".a..b.\"@c.d");
        assert_eq!(
            parse("RCPT TO:<Postmaster>"),
            Ok(Command::Rcpt {
                forward_path: ForwardPath::Postmaster,
                request: RecipientRequest::default(),
                is_ascii: true,
            })
        );
    }

    #[test]
    fn what_is_wrong_is_refused_for_its_reason() {
        use CommandError::*;
        for (line, why) in [
            ("", Unrecognized),
            ("WIZ", Unrecognized),
            ("GET / HTTP/1.1", Foreign),
            ("POST /x?y HTTP/1.0", Foreign),
            ("GET /", Foreign),
            ("post / http/1.1", Foreign),
            ("GET /\u{e4} HTTP/1.1", Foreign),
            ("REGISTER sip:x SIP/2.0", Foreign),
            ("GETS", Unrecognized),
            ("HELO", Argument),
            ("EHLO a b", Argument),
            ("EHLO a\tb", Argument),
            ("EHLO <x>", Argument),
            ("DATA now", Argument),
            ("QUIT it", Argument),
            ("MAIL", Argument),
            ("MAIL TO:<a@b.c>", Argument),
            ("MAIL FROM:<a@b.c>SIZE=1", Argument),
            ("MAIL FROM:", ReversePath(PathError::Brackets)),
            ("MAIL FROM:<a@b.c", ReversePath(PathError::Brackets)),
            ("MAIL FROM:a@b.c>", ReversePath(PathError::Domain)),
            ("RCPT TO:a@b.c X=1", UnknownParameter),
            ("MAIL FROM:<a@b.c> SIZE", Parameter),
            ("MAIL FROM:<a@b.c> SIZE=", Parameter),
            ("MAIL FROM:<a@b.c> SIZE=1 SIZE=2", Parameter),
            ("MAIL FROM:<a@b.c> SIZE=-1", Parameter),
            ("MAIL FROM:<a@b.c> SIZE=123456789012345678901", Parameter),
            ("MAIL FROM:<a@b.c> BODY=BINARYMIME", Parameter),
            ("MAIL FROM:<a@b.c> =", Parameter),
            ("MAIL FROM:<a@b.c> \"", Parameter),
            ("MAIL FROM:<a@b.c> \"=\"", Parameter),
            (
                "MAIL FROM:<;for i in 0 1 2;do read r;done>",
                ReversePath(PathError::Domain),
            ),
            ("RCPT TO:<>", ForwardPath(PathError::Missing)),
            ("RCPT TO:<|id>", ForwardPath(PathError::Domain)),
            ("RCPT TO:<a@b.c> RET=HDRS", UnknownParameter),
            ("MAIL FROM:<a@b.c> NOTIFY=NEVER", UnknownParameter),
            ("RCPT TO:<a@b.c> NOTIFY", DsnParameter),
            ("RCPT TO:<a@b.c> NOTIFY=ALWAYS", DsnParameter),
            ("RCPT TO:<a@b.c> NOTIFY=NEVER,DELAY", DsnParameter),
            ("RCPT TO:<a@b.c> NOTIFY=DELAY NOTIFY=DELAY", DsnParameter),
            ("RCPT TO:<a@b.c> ORCPT=a@b.c", DsnParameter),
            ("RCPT TO:<a@b.c> ORCPT=rfc822;+0D+0A", DsnParameter),
            ("MAIL FROM:<a@b.c> RET=ALL", DsnParameter),
            ("MAIL FROM:<a@b.c> RET=FULL RET=HDRS", DsnParameter),
            ("MAIL FROM:<a@b.c> ENVID=+", DsnParameter),
            ("MAIL FROM:<a@b.c> ENVID=x ENVID=x", DsnParameter),
            ("RCPT TO:<a\u{0}Tb@c.d>", Octets),
            ("MAIL FROM:<\u{e9}@c.d>", NotSmtpUtf8),
            ("MAIL FROM:<a@b.c> SMTPUTF8=1", Parameter),
            ("NOOP \u{e9}", Octets),
            ("NOOP \r", Octets),
        ] {
            assert_eq!(parse(line).map(|_| ()), Err(why), "{line}");
        }
    }

    #[test]
    fn what_is_asked_of_reports_is_read() {
        let Ok(Command::Mail { parameters, .. }) =
            parse("MAIL FROM:<a@b.c> ret=hdrs SIZE=9 ENVID=QQ+2B314")
        else {
            panic!("not read")
        };
        assert_eq!(parameters.ret, Some(Ret::Hdrs));
        assert_eq!(parameters.envid, Envid::parse("QQ+2B314"));
        let Ok(Command::Rcpt { request, .. }) =
            parse("RCPT TO:<a@b.c> NOTIFY=success,Delay ORCPT=rfc822;A@b.c")
        else {
            panic!("not read")
        };
        assert_eq!(request.notify, Notify::parse("SUCCESS,DELAY"));
        assert_eq!(request.original, OriginalRecipient::parse("rfc822;A@b.c"));
    }

    #[test]
    fn the_size_of_a_chunk_is_read_or_nothing_is() {
        for (line, size_octets, last) in [
            ("BDAT 0", 0, false),
            ("bdat 86 last", 86, true),
            ("BDAT  007  LAST ", 7, true),
            ("BDAT 18446744073709551615", u64::MAX, false),
            ("BDAT 18446744073709551616 LAST", u64::MAX, true),
            ("BDAT 99999999999999999999999999999999", u64::MAX, false),
        ] {
            assert_eq!(
                parse(line),
                Ok(Command::Bdat { size_octets, last }),
                "{line}"
            );
        }
        for line in [
            "BDAT",
            "BDAT ",
            "BDAT LAST",
            "BDAT -1",
            "BDAT +1",
            "BDAT 0x10",
            "BDAT 1.0",
            "BDAT 1\tLAST",
            "BDAT\t1",
            "BDAT 1 FIRST",
            "BDAT 1 LAST LAST",
            "BDAT 1 2",
            "BDAT 1\r",
            "bdat 1\nQUIT",
            "BDAT 1\0",
        ] {
            assert_eq!(parse(line), Err(CommandError::Chunk), "{line}");
        }
        assert_eq!(parse("BDAT1"), Err(CommandError::Unrecognized));
        assert_eq!(parse("BDA"), Err(CommandError::Unrecognized));
    }

    #[test]
    fn a_size_beyond_all_numbers_is_still_a_size() {
        let Ok(Command::Mail { parameters, .. }) = parse("MAIL FROM:<> SIZE=99999999999999999999")
        else {
            panic!("not read")
        };
        assert_eq!(parameters.size_octets, Some(u64::MAX));
    }
}
