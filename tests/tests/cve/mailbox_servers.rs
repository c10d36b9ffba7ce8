//! LMTP servers that say anything but what they should: each recipient has the answer that was meant for him, or waits.

use crate::server::{SOON, Server};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use tests::{Client, wait_until};

/// What a server says instead, to its clients' LHLO, to the second RCPT, to DATA, to the end of content; it goes behind the
/// last where that is said.
#[derive(Clone, Copy)]
struct Says {
    lhlo: &'static str,
    second: &'static str,
    data: &'static str,
    end: &'static str,
    goes: bool,
}

const GOOD: Says = Says {
    lhlo: "250-lmtp.test\r\n250 PIPELINING\r\n",
    second: "250 2.1.5 good\r\n",
    data: "354 go\r\n",
    end: "250 2.0.0 first\r\n250 2.0.0 second\r\n",
    goes: false,
};

const TAKEN: &str = "event=recipient.delivered ";
const FAILED: &str = "event=recipient.failed ";
const WAITS: &str = "event=attempt.deferred ";

/// Servers, and what becomes of the first recipient and the second.
const SERVERS: [(Says, [&str; 2]); 11] = [
    (GOOD, [TAKEN, TAKEN]),
    (
        Says {
            end: "250 2.0.0 first\r\n",
            goes: true,
            ..GOOD
        },
        [TAKEN, WAITS],
    ),
    (
        Says {
            end: "250 2.0.0 first\r\n250 2.0.0 second\r\n250 2.0.0 third\r\n",
            ..GOOD
        },
        [TAKEN, TAKEN],
    ),
    (
        Says {
            end: "550 5.2.1 first\r\n250 2.0.0 second\r\n",
            ..GOOD
        },
        [FAILED, TAKEN],
    ),
    (
        Says {
            end: "250-2.0.0 first\r\n250 2.0.0 first\r\n\r\n",
            ..GOOD
        },
        [TAKEN, WAITS],
    ),
    (
        Says {
            end: "553-\r\n553\r\n250-",
            goes: true,
            ..GOOD
        },
        [FAILED, WAITS],
    ),
    (
        Says {
            second: "550 5.1.1 nobody\r\n",
            ..GOOD
        },
        [TAKEN, FAILED],
    ),
    (
        Says {
            lhlo: "250 lmtp.test\r\n250 2.1.0 injected\r\n",
            ..GOOD
        },
        [WAITS, WAITS],
    ),
    (
        Says {
            data: "250 2.0.0 first\r\n",
            ..GOOD
        },
        [WAITS, WAITS],
    ),
    (
        Says {
            data: "354 go\r\n250 2.0.0 first\r\n250 2.0.0 second\r\n",
            ..GOOD
        },
        [WAITS, WAITS],
    ),
    (
        Says {
            lhlo: "553-\r\n553\r\n",
            ..GOOD
        },
        [WAITS, WAITS],
    ),
];

/// CVE-2020-8794, CVE-2021-38371: the same of LMTP servers, replies that are cut short, and more of them than were asked
/// for. A reply too few is nobody's.
#[test]
fn what_an_lmtp_server_says_is_for_the_recipient_it_is_meant_for() {
    let mut domains = Vec::new();
    for (number, (says, _)) in SERVERS.into_iter().enumerate() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        domains.push(format!(
            "[domain.\"l{number}.test\"]\nusers = [\"first\", \"second\"]\naliases = {{ postmaster = \"first\" }}\n\
             deliver = \"lmtp:127.0.0.1:{port}\"\n"
        ));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that goes away ends its session and nothing else.
                std::thread::spawn(move || serve(stream, says));
            }
        });
    }
    let server = Server::start(&domains.concat());
    for number in 0..SERVERS.len() {
        let mut client = Client::connect(server.port).expect("it listens");
        let to = ["first", "second"].map(|name| format!("{name}@l{number}.test"));
        let answer = client.send("bob@a.test", &to, b"Subject: x\r\n\r\nx\r\n");
        assert!(answer.is_ok_and(|answer| answer.starts_with("250 2.0.0 ")));
    }
    let (mut reports, mut waiting) = (0, 0);
    for (number, (_, becomes)) in SERVERS.into_iter().enumerate() {
        for (name, event) in ["first", "second"].into_iter().zip(becomes) {
            let ends = format!(" forward_path={name}@l{number}.test");
            let of_it = || -> Vec<String> {
                let log = server.program.log();
                let lines = log.lines().filter(|line| line.ends_with(&ends));
                lines.map(str::to_owned).collect()
            };
            wait_until(&format!("{name} of {number} is done with"), SOON, || {
                !of_it().is_empty()
            });
            let lines = of_it();
            assert!(
                lines.len() == 1 && lines[0].starts_with(event),
                "{number}: {lines:?}"
            );
        }
        reports += usize::from(becomes.contains(&FAILED));
        waiting += usize::from(becomes.contains(&WAITS));
    }
    server.lives_with(reports, waiting);
}

/// One session of a server.
fn serve(mut stream: TcpStream, says: Says) -> io::Result<()> {
    let reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 lmtp.test\r\n")?;
    let (mut is_content, mut recipients) = (false, 0);
    for line in reader.lines() {
        let line = line?;
        if is_content && line != "." {
            continue;
        }
        let reply = match line.get(..4).unwrap_or(&line) {
            "LHLO" => says.lhlo,
            "RCPT" => {
                recipients += 1;
                [GOOD.second, says.second][(recipients - 1) % 2]
            }
            "DATA" => {
                is_content = says.data.starts_with("354");
                says.data
            }
            "." => {
                is_content = false;
                says.end
            }
            _ => "250 2.0.0 good\r\n",
        };
        stream.write_all(reply.as_bytes())?;
        if line == "." && says.goes {
            return Ok(());
        }
    }
    Ok(())
}
