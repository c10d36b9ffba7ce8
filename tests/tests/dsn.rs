//! Reports that senders ask for (RFC 3461): who may ask is told what became of his mail, by us or by the next hop that took his
//! request, and a stranger is not offered it.

use std::fs;
use std::time::Duration;
use tests::{Authority, Client, Hop, Manner, Program, find_files, free_port, wait_until};

const SOON: Duration = Duration::from_mins(1);

/// A server that relays for loopback clients, where `relays`, to this hop.
fn started(relays: bool, hop: u16) -> (Program, u16) {
    let port = free_port();
    let from = if relays {
        "from = [\"127.0.0.1\"]\n"
    } else {
        ""
    };
    let configuration = format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n\
         [relay]\n{from}to = \"smtp://127.0.0.1:{hop}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\", \"bob\"]\ndeliver = \"maildir:{{dir}}/mail/{{user}}\"\n\
         aliases = {{ postmaster = \"ann\", both = [\"ann\", \"bob\"] }}\n"
    );
    (Program::start_with(&configuration, |_| {}), port)
}

/// Sends a message of Ann's with these parameters of MAIL, to these, each with its parameters.
fn send(port: u16, mail: &str, to: &[(&str, &str)]) {
    let mut client = Client::connect(port).expect("a connection");
    let said = |client: &mut Client, line: String, code: &str| {
        let answer = client.say(&line).expect("an answer");
        assert!(answer.starts_with(code), "{line}: {answer}");
    };
    said(&mut client, format!("MAIL FROM:<ann@a.test> {mail}"), "250");
    for (to, parameters) in to {
        said(&mut client, format!("RCPT TO:<{to}> {parameters}"), "250");
    }
    said(&mut client, "DATA".into(), "354");
    let content = "Subject: asked\r\n\r\nthe body\r\n.";
    said(&mut client, content.into(), "250");
    said(&mut client, "QUIT".into(), "221");
}

/// The reports that Ann has, once there are so many.
fn reports(program: &Program, count: usize) -> Vec<String> {
    let folder = program.folder().join("mail/ann/new");
    let read = || {
        let files = find_files(&folder).into_iter();
        let texts = files.map(|file| fs::read_to_string(file).expect("mail"));
        let reports = texts.filter(|text| text.contains("report-type=delivery-status"));
        reports.collect::<Vec<_>>()
    };
    wait_until("Ann has her reports, and nothing waits", SOON, || {
        read().len() == count && program.queued() == Some(0)
    });
    read()
}

#[test]
fn who_asks_is_told_of_what_was_delivered_and_of_what_was_passed_on() {
    let hop = Hop::start(Manner::Clear, &Authority::new(), &["127.0.0.1"]).expect("a hop");
    let (program, port) = started(true, hop.port());
    let to = [
        ("bob@a.test", "NOTIFY=SUCCESS ORCPT=rfc822;Bob+2Bx@a.test"),
        ("x@far.test", "NOTIFY=SUCCESS,FAILURE"),
        ("quiet@far.test", "NOTIFY=NEVER"),
        ("both@a.test", "NOTIFY=SUCCESS"),
    ];
    send(port, "RET=FULL ENVID=QQ+2B314", &to);
    let reports = reports(&program, 1);
    for fields in [
        "\r\nOriginal-Envelope-Id: QQ+314\r\nReporting-MTA: dns; mx.a.test\r\n",
        "\r\n\r\nOriginal-Recipient: rfc822; Bob+x@a.test\r\nFinal-Recipient: rfc822; bob@a.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
        "\r\n\r\nFinal-Recipient: rfc822; x@far.test\r\nAction: relayed\r\nStatus: 2.0.0\r\n",
        "\r\n\r\nFinal-Recipient: rfc822; both@a.test\r\nAction: expanded\r\nStatus: 2.0.0\r\n",
        "\r\nSubject: asked\r\n",
    ] {
        let crlf = reports[0].replace("\r\n", "\n").replace('\n', "\r\n");
        assert!(crlf.contains(fields), "{fields}: {crlf}");
    }
    for hidden in ["quiet@", "the body"] {
        assert!(!reports[0].contains(hidden), "{hidden}: {}", reports[0]);
    }
    // The hop takes no requests, and is asked for nothing.
    let taken = hop.taken();
    let commands = &taken[0].commands;
    assert!(
        commands.iter().all(|line| line.ends_with('>')),
        "{commands:?}"
    );
}

#[test]
fn a_next_hop_that_takes_requests_is_told_them_and_reports_itself() {
    let manner = Manner::TakesRequests;
    let hop = Hop::start(manner, &Authority::new(), &["127.0.0.1"]).expect("a hop");
    let (program, port) = started(true, hop.port());
    let to = [(
        "x@far.test",
        "ORCPT=rfc822;X+2By@far.test NOTIFY=delay,success",
    )];
    send(port, "ENVID=QQ+2B314 RET=hdrs", &to);
    wait_until("it is there", SOON, || {
        hop.taken().len() == 1 && program.queued() == Some(0)
    });
    assert_eq!(
        hop.taken()[0].commands,
        [
            "MAIL FROM:<ann@a.test> RET=HDRS ENVID=QQ+2B314",
            "RCPT TO:<x@far.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;X+2By@far.test",
        ]
    );
    assert_eq!(reports(&program, 0), [""; 0]);
}

#[test]
fn a_message_that_fails_comes_back_whole_where_that_is_asked_and_not_at_all_where_nothing_is_wanted()
 {
    // Nobody listens there, and the message expires at once; what is refused for good is a mailbox of ours that is unknown
    // by then: a hop that says no is nearer.
    let hop = refusing();
    let (program, port) = started(true, hop);
    send(port, "RET=FULL", &[("x@far.test", "NOTIFY=FAILURE")]);
    send(port, "RET=HDRS", &[("y@far.test", "")]);
    send(port, "RET=FULL", &[("quiet@far.test", "NOTIFY=NEVER")]);
    let reports = reports(&program, 2);
    let (whole, header): (Vec<_>, Vec<_>) = reports
        .iter()
        .partition(|report| report.contains("the body"));
    assert!(whole.len() == 1 && header.len() == 1, "{reports:?}");
    assert!(whole[0].contains("<x@far.test>") && whole[0].contains("message/rfc822"));
    assert!(header[0].contains("<y@far.test>") && header[0].contains("text/rfc822-headers"));
}

/// A hop that refuses every recipient for good.
fn refusing() -> u16 {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its port").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let _ = stream.get_mut().write_all(b"220 hop.test\r\n");
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|octets| octets > 0) {
                    let said: &[u8] = if line.starts_with("RCPT") {
                        b"550 5.1.1 nobody\r\n"
                    } else {
                        b"250 good\r\n"
                    };
                    let _ = stream.get_mut().write_all(said);
                    line.clear();
                }
            });
        }
    });
    port
}

#[test]
fn a_stranger_is_not_offered_it_and_gets_no_report_out_of_us() {
    let (program, port) = started(false, 1);
    let mut client = Client::connect(port).expect("a connection");
    let offer = client.hello().expect("an answer");
    let offers = |keyword: &str| offer.iter().any(|line| line[4..].starts_with(keyword));
    assert!(offers("CHUNKING") && !offers("DSN"), "{offer:?}");
    let answer = client
        .say("MAIL FROM:<ann@a.test> RET=FULL")
        .expect("an answer");
    assert!(answer.starts_with("555 5.5.4"), "{answer}");
    assert!(
        client
            .say("MAIL FROM:<ann@a.test>")
            .expect("an answer")
            .starts_with("250")
    );
    let answer = client
        .say("RCPT TO:<bob@a.test> NOTIFY=SUCCESS")
        .expect("an answer");
    assert!(answer.starts_with("555 5.5.4"), "{answer}");
    assert_eq!(program.queued(), Some(0));
}
