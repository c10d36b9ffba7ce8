//! Dialogs with BDAT: what is said to each, what is stored, and that no octet of a chunk is ever a command.

use super::*;

const START: &str = "EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<x@y.z>\r\n";

/// The codes of what is said behind `START` to this, and what is stored.
fn said_to(input: &[u8]) -> (String, Vec<Vec<u8>>) {
    said_behind(START, input)
}

fn said_behind(start: &str, input: &[u8]) -> (String, Vec<Vec<u8>>) {
    let input = [start.as_bytes(), input].concat();
    let before = talk(start.as_bytes(), usize::MAX).0.len();
    let (said, stored) = talk(&input, usize::MAX);
    for cut in 1..input.len().min(60) {
        assert_eq!(talk(&input, cut), (said.clone(), stored.clone()), "{cut}");
    }
    let codes: Vec<&str> = said[before..].lines().map(|line| &line[..3]).collect();
    (codes.join(" "), stored)
}

//= https://www.rfc-editor.org/rfc/rfc3030#section-2
//= type=test
//# A 250 response MUST be sent to each successful BDAT data block within
//# a mail transaction.
#[test]
fn each_chunk_is_answered_and_the_last_with_the_commit() {
    let content = b"S: 1\r\n\r\n.\r\n..dot\r\nEOF\r\n";
    for size in 1..=content.len() {
        let mut input = Vec::new();
        let count = content.chunks(size).count();
        for (n, chunk) in content.chunks(size).enumerate() {
            let last = if n + 1 == count { " LAST" } else { "" };
            input.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
            input.extend_from_slice(chunk);
        }
        let codes = vec!["250"; count].join(" ");
        assert_eq!(said_to(&input), (codes, vec![content.to_vec()]), "{size}");
    }
    let input = [START.as_bytes(), b"BDAT 1\r\nxBDAT 0 LAST\r\nQUIT\r\n"].concat();
    let (said, stored) = talk(&input, usize::MAX);
    let end = "250 2.0.0 go on\r\n250 2.0.0 accepted\r\n221 2.0.0 bye\r\n(closed)\r\n";
    assert!(said.ends_with(end), "{said}");
    assert_eq!(stored, [b"x\r\n".to_vec()]);
}

#[test]
fn chunks_may_be_empty_and_so_may_content() {
    assert_eq!(
        said_to(b"BDAT 0 LAST\r\nNOOP\r\n"),
        ("250 250".into(), vec![vec![]])
    );
    let (codes, stored) = said_to(b"BDAT 0\r\nBDAT 2\r\na\rBDAT 0\r\nBDAT 1 LAST\r\n\n");
    assert_eq!(codes, "250 250 250 250");
    assert_eq!(stored, [b"a\r\n".to_vec()]);
}

#[test]
fn transactions_by_data_and_by_chunks_follow_each_other() {
    let (codes, stored) = said_to(
        b"BDAT 3 LAST\r\na\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.z>\r\nDATA\r\n..b\r\n.\r\n\
          MAIL FROM:<>\r\nRCPT TO:<x@y.z>\r\nBDAT 4 LAST\r\n..c\nQUIT\r\n",
    );
    assert_eq!(codes, "250 250 250 354 250 250 250 250 221 (cl");
    let kept: [&[u8]; 3] = [b"a\r\n", b".b\r\n", b"..c\r\n"];
    assert_eq!(stored, kept);
}

/// Whether octets above 127 came is of this content and not of the one before.
#[test]
fn an_empty_content_is_not_of_eight_bits() {
    let mut session = Session::new(Parameters::default(), Time::default());
    let mut content = Vec::new();
    let mut asked = Vec::new();
    let input = "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nBDAT 2 LAST\r\n\u{e9}\
                 MAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nBDAT 0 LAST\r\n";
    let mut rest = input.as_bytes();
    for _ in 0..20 {
        rest = &rest[session.receive(rest, &mut content, Time::default())..];
        while let Some(output) = session.poll() {
            if output == Output::Ask(Question::Commit) {
                asked.push(session.content_is_eight_bit());
            }
            if matches!(output, Output::Ask(_)) {
                session.answer(Answer::Accept, Time::default());
            }
        }
    }
    assert_eq!(asked, [true, false]);
}

//= https://www.rfc-editor.org/rfc/rfc3030#section-2
//= type=test
//# If a failure occurs after a BDAT command is
//# received, the receiver-SMTP MUST accept and discard the associated
//# message data before sending the appropriate 5XX or 4XX code.
#[test]
fn no_octet_of_a_refused_chunk_is_a_command() {
    let chunk = b"BDAT 12\r\nQUIT\r\nQUIT\r\n";
    let last = b"BDAT 12 LAST\r\nQUIT\r\nQUIT\r\n";
    for (start, codes) in [
        ("", "503"),
        ("EHLO a\r\n", "503"),
        ("EHLO a\r\nMAIL FROM:<>\r\n", "554"),
        ("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<no@b.c>\r\n", "554"),
    ] {
        for chunk in [&chunk[..], last] {
            let input = [chunk, b"NOOP\r\n"].concat();
            let (said, stored) = said_behind(start, &input);
            assert_eq!(said, format!("{codes} 250"), "{start:?}");
            assert!(stored.is_empty());
        }
    }
}

//= https://www.rfc-editor.org/rfc/rfc3030#section-2
//= type=test
//# If the receiver-SMTP has declared
//# support for command pipelining [PIPE], the receiver SMTP MUST be
//# prepared to accept and discard additional BDAT chunks already in the
//# pipeline after the failed BDAT.
#[test]
fn chunks_behind_a_refused_one_are_refused_too() {
    let twenty = b"BDAT 6\r\nQUIT\r\n".repeat(20);
    let refused = ["503"; 20].join(" ");
    let input = [b"BDAT 2\r\na\rBDAT 1\r\nb", &twenty[..], b"RSET\r\n"].concat();
    assert_eq!(
        said_to(&input),
        (format!("250 550 {refused} 250"), vec![]),
        "with a bare CR"
    );
    // The last ends it, and what belongs to the next is not mixed in.
    let (codes, stored) = said_to(
        b"BDAT 1\r\n\0BDAT 1\r\nxMAIL FROM:<>\r\nRCPT TO:<x@y.z>\r\nDATA\r\nBDAT 1 LAST\r\ny\
          MAIL FROM:<>\r\nRCPT TO:<x@y.z>\r\nBDAT 1 LAST\r\nz",
    );
    assert_eq!(codes, "550 503 503 503 503 503 250 250 250");
    assert_eq!(stored, [b"z\r\n".to_vec()]);
    let (codes, stored) =
        said_to(b"BDAT 1\r\n\0BDAT 1 LAST\r\nyMAIL FROM:<>\r\nRCPT TO:<x@y.z>\r\nBDAT 1 LAST\r\nz");
    assert_eq!(codes, "550 503 250 250 250");
    assert_eq!(stored, [b"z\r\n".to_vec()]);
}

/// Exim 4.96 announces one octet too few of a message without a header section, and sends it all the same.
#[test]
fn a_chunk_that_is_one_octet_short_is_taken_and_what_is_behind_it_is_no_command() {
    let (codes, stored) = said_to(b"BDAT 2 LAST\r\nx\r\nQUIT\r\nNOOP\r\n");
    assert_eq!(codes, "250 500 250");
    assert_eq!(stored, [b"x\r\n".to_vec()]);
}

//= https://www.rfc-editor.org/rfc/rfc3030#section-2
//= type=test
//# Any BDAT command sent after the BDAT LAST is illegal
//# and MUST be replied to with a 503 "Bad sequence of commands" reply
//# code.
#[test]
fn nothing_of_a_content_comes_behind_its_last_chunk() {
    let (codes, stored) = said_to(b"BDAT 1 LAST\r\nxBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    assert_eq!(codes, "250 503 250");
    assert_eq!(stored, [b"x\r\n".to_vec()]);
    let (codes, _) = said_to(b"BDAT 1 LAST\r\n\0BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    assert_eq!(codes, "550 503 250");
}

//= https://www.rfc-editor.org/rfc/rfc3030#section-2
//= type=test
//# If a DATA
//# statement is issued after a BDAT for the current transaction, a 503
//# "Bad sequence of commands" MUST be issued.
#[test]
fn between_chunks_nothing_of_a_transaction_may_stand() {
    let (codes, stored) = said_to(
        b"BDAT 1\r\nxDATA\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.z>\r\nSTARTTLS\r\nNOOP\r\nBDAT 1 LAST\r\ny",
    );
    assert_eq!(codes, "250 503 503 503 503 250 250");
    assert_eq!(stored, [b"xy\r\n".to_vec()]);
}

#[test]
fn rset_and_ehlo_between_chunks_drop_the_message() {
    for reset in ["RSET", "HELO b"] {
        let input = format!(
            "BDAT 3\r\nabc{reset}\r\nBDAT 1 LAST\r\nyMAIL FROM:<>\r\nRCPT TO:<x@y.z>\r\nBDAT 1 LAST\r\nz"
        );
        let (codes, stored) = said_to(input.as_bytes());
        assert_eq!(codes, "250 250 503 250 250 250", "{reset}");
        assert_eq!(stored, [b"z\r\n".to_vec()]);
    }
}

#[test]
fn content_in_chunks_has_the_bounds_of_content() {
    let hundred = "x".repeat(98) + "\r\n";
    // Two hundred octets are what may come.
    let (codes, stored) = said_to(
        format!("BDAT 100\r\n{hundred}BDAT 100\r\n{hundred}BDAT 0 LAST\r\nNOOP\r\n").as_bytes(),
    );
    assert_eq!(codes, "250 250 250 250");
    assert_eq!(stored[0].len(), 200);
    let over = format!("BDAT 100\r\n{hundred}BDAT 100\r\n{hundred}BDAT 1 LAST\r\nxNOOP\r\n");
    assert_eq!(said_to(over.as_bytes()), ("250 250 552 250".into(), vec![]));
    let over = format!("BDAT 201 LAST\r\n{hundred}{hundred}xNOOP\r\n");
    assert_eq!(said_to(over.as_bytes()), ("552 250".into(), vec![]));
    // Line ends that we add count.
    let added = format!("BDAT 199 LAST\r\n{}NOOP\r\n", "x".repeat(199));
    assert_eq!(said_to(added.as_bytes()), ("552 250".into(), vec![]));
    let loops = "Received: x\n".repeat(101);
    let input = format!(
        "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nBDAT 7\r\n{}BDAT {} LAST\r\n{}",
        &loops[..7],
        loops.len() - 7,
        &loops[7..]
    );
    assert_eq!(last_reply(input.as_bytes()), Some(replies::LOOP));
}

/// The last reply of a session with the usual bounds, all of whose questions are answered yes.
fn last_reply(mut input: &[u8]) -> Option<Reply> {
    let mut session = Session::new(Parameters::default(), Time::default());
    let (mut content, mut last) = (Vec::new(), None);
    for _ in 0..20 {
        input = &input[session.receive(input, &mut content, Time::default())..];
        while let Some(output) = session.poll() {
            match output {
                Output::Ask(_) => session.answer(Answer::Accept, Time::default()),
                Output::Reply(reply) => last = Some(reply),
                _ => {}
            }
        }
    }
    last
}

#[test]
fn where_a_chunk_ends_cannot_be_known_nothing_more_is_read() {
    for command in ["BDAT", "BDAT x", "BDAT -1", "BDAT 6 FIRST", "bdat 6\0"] {
        for start in ["", START] {
            let (codes, stored) = said_behind(start, format!("{command}\r\nNOOP\r\n").as_bytes());
            assert_eq!((&codes[..], stored), ("501 (cl", vec![]), "{command}");
        }
    }
    for size in [
        "1073741825",
        "18446744073709551615",
        "99999999999999999999999",
    ] {
        let (codes, stored) = said_to(format!("BDAT {size} LAST\r\nNOOP\r\n").as_bytes());
        assert_eq!((&codes[..], stored), ("552 (cl", vec![]), "{size}");
    }
}

#[test]
fn a_session_is_not_kept_open_with_empty_chunks_but_as_many_octets_as_there_are_may_come_alone() {
    let ones = "BDAT 1\r\nx".repeat(1000);
    let start = "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\n";
    let whole = format!("{start}{ones}BDAT 0 LAST\r\n");
    assert_eq!(last_reply(whole.as_bytes()), Some(replies::ACCEPTED));
    let empty = format!("{start}{}", "BDAT 0\r\n".repeat(1000));
    assert_eq!(last_reply(empty.as_bytes()), Some(replies::TOO_IDLE));
}

#[test]
fn when_the_service_stops_chunks_are_taken_as_long_as_they_come() {
    let at = |seconds| Time::from_secs(seconds);
    let started = |input: &[u8]| {
        let mut session = Session::new(Parameters::default(), at(0));
        let mut rest = input;
        while !rest.is_empty() {
            rest = &rest[session.receive(rest, &mut Vec::new(), at(0))..];
            while let Some(output) = session.poll() {
                if matches!(output, Output::Ask(_)) {
                    session.answer(Answer::Accept, at(0));
                }
            }
        }
        session
    };
    let last = |session: &mut Session| {
        std::iter::from_fn(|| session.poll())
            .filter_map(|output| match output {
                Output::Reply(reply) => Some(reply),
                _ => None,
            })
            .last()
    };
    for (chunk, rest) in [
        ("BDAT 4\r\nxxxx", "BDAT 1 LAST\r\nx"),
        ("BDAT 4 LAST\r\nx", "xxx"),
    ] {
        let begun = format!("{START}{chunk}");
        let mut session = started(begun.as_bytes());
        session.stop(at(10));
        assert_eq!(session.wake_at(), at(15));
        session.receive(rest.as_bytes(), &mut Vec::new(), at(12));
        assert_eq!(session.poll(), Some(Output::Ask(Question::Commit)));
        session.answer(Answer::Accept, at(13));
        assert_eq!(session.poll(), Some(Output::Reply(replies::ACCEPTED)));
        assert_eq!(last(&mut session), Some(replies::SHUTTING_DOWN));
        // Where nothing more comes, or it takes too long, it is over.
        let mut session = started(begun.as_bytes());
        session.stop(at(10));
        session.wake(at(15));
        assert_eq!(last(&mut session), Some(replies::SHUTTING_DOWN));
        let mut session = started(begun.as_bytes());
        session.cut();
        assert_eq!(last(&mut session), Some(replies::SHUTTING_DOWN));
        assert!(session.is_closed());
    }
    let mut session = started(format!("{START}BDAT 1\r\nx").as_bytes());
    session.stop(at(10));
    session.receive(b"RSET\r\n", &mut Vec::new(), at(11));
    assert_eq!(session.poll(), Some(Output::DiscardContent));
    assert_eq!(session.poll(), Some(Output::Reply(replies::FINE)));
    assert_eq!(last(&mut session), Some(replies::SHUTTING_DOWN));
}
