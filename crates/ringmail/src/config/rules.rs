//! From what was written to what is meant: unknown keys, wrong values, and what no value may make together.

use super::mistakes::Errors;
use super::options::{self, Kind, OptionRow, State};
use super::read::{self, Text, Value};
use super::{Config, Dns, Limits, Listen, Log, Schedule, log};
use crate::ipc::spawn::Situation;
use mail::{Domain, ForwardPath, LmtpSocket, LocalPart, Mailbox, ReversePath};
use policy::parameters::Aliases;
use policy::{
    Alias, Client, Decision, Deliver, DomainRule, Listener, Network, Origin, Parameters, Policy,
    Refusal, RelayFrom, SmartHost, Target, Users,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeTable;

/// The widest networks that `relay.from` may list: a whole company, not a whole internet.
const RELAY_BITS_MIN: (u8, u8) = (8, 32);

/// Reads a text; all mistakes at once.
pub fn read(text: &str, path: &str, situation: Situation) -> Result<Config, Errors> {
    let mut errors = Errors::new(text, path);
    let (table, wrong) = DeTable::parse_recoverable(text);
    for error in wrong {
        errors.add(error.span().unwrap_or(0..0), error.message().to_owned(), "");
    }
    if !errors.is_empty() {
        // What lies behind a mistake of the grammar is anybody's guess.
        return Err(errors);
    }
    let mut reader = Reader {
        errors,
        situation,
        parameters: Parameters::empty(Domain::Ipv4(Ipv4Addr::UNSPECIFIED)),
        hostname: None,
        listen: Listen::default(),
        listen_span: 0..0,
        limits: Limits {
            message_octets: mail::limits::CONTENT_OCTETS,
            recipients: 1000,
            errors: 20,
            sessions: 1000,
        },
        queue: Schedule {
            retry_delay_min: Duration::from_mins(5),
            retry_delay_max: Duration::from_hours(4),
            expiry: Duration::from_hours(5 * 24),
        },
        dns: Dns::default(),
        log: Log::default(),
        folders: BTreeMap::new(),
        domain_spans: BTreeMap::new(),
        relay_to_span: None,
        written: BTreeMap::new(),
    };
    reader.top(table.get_ref());
    reader.finish()
}

struct Reader {
    errors: Errors,
    situation: Situation,
    parameters: Parameters,
    hostname: Option<Box<str>>,
    listen: Listen,
    listen_span: Range<usize>,
    limits: Limits,
    queue: Schedule,
    dns: Dns,
    log: Log,
    folders: BTreeMap<&'static str, PathBuf>,
    domain_spans: BTreeMap<Domain, Range<usize>>,
    relay_to_span: Option<Range<usize>>,
    written: BTreeMap<String, (String, usize)>,
}

impl Reader {
    fn top(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            match value.get_ref().as_table() {
                Some(section) if name == "aliases" => {
                    self.parameters.aliases = self.aliases("aliases", section);
                }
                Some(section) if name == "domain" => self.domains(section),
                Some(section) if options::SECTIONS.contains(&name) => {
                    self.section(name, section, key.span());
                }
                _ if options::SECTIONS_LATER.contains(&name) => {
                    self.errors.add(
                        key.span(),
                        format!("[{name}] is not supported yet"),
                        "remove it for now",
                    );
                }
                _ => {
                    if let Some(row) = self.row("", name, key.span()) {
                        self.value(row, value, name.to_owned(), &key.span());
                    }
                }
            }
        }
    }

    /// The row of a key, or a mistake that says what was probably meant.
    fn row(&mut self, section: &str, key: &str, span: Range<usize>) -> Option<&'static OptionRow> {
        let Some(row) = options::find(section, key) else {
            let keys = options::OPTIONS
                .iter()
                .filter(|row| row.section == section)
                .map(|row| row.key);
            let sections = options::SECTIONS
                .iter()
                .copied()
                .filter(|_| section.is_empty());
            let near = options::nearest(key, keys.chain(sections));
            let label = near.map_or("there is no such option".into(), |near| {
                format!("did you mean `{near}`?")
            });
            self.errors.add(span, format!("unknown key `{key}`"), label);
            return None;
        };
        match row.state {
            State::Built => Some(row),
            State::TryOnly(_) if self.situation == Situation::Try => Some(row),
            State::TryOnly(why) => {
                self.errors
                    .add(span, format!("`{key}` is not supported yet here"), why);
                None
            }
            State::Later => {
                self.errors
                    .add(span, format!("`{key}` is not supported yet"), row.doc);
                None
            }
        }
    }

    fn section(&mut self, name: &str, section: &DeTable<'_>, span: Range<usize>) {
        if name == "listen" {
            self.listen_span = span;
        }
        for (key, value) in section {
            if let Some(row) = self.row(name, key.get_ref(), key.span()) {
                self.value(row, value, format!("{name}.{}", key.get_ref()), &key.span());
            }
        }
    }

    /// Takes one value of the plain sections.
    fn value(
        &mut self,
        row: &'static OptionRow,
        value: &Value<'_>,
        key: String,
        span: &Range<usize>,
    ) {
        self.note(key, value, span);
        let errors = &mut self.errors;
        match (row.section, row.key) {
            ("", "hostname") => self.hostname(row, value),
            ("", "spool" | "runtime") | ("log", "folder") => self.folder(row, value),
            ("log", "keep") => {
                let range = Duration::from_hours(1)..Duration::from_hours(3660 * 24);
                let keep = read::duration(row, value, range, errors);
                self.log.keep = keep.unwrap_or(self.log.keep);
            }
            ("log", "size") => {
                // Below this, files would be smaller than what is written at once.
                let octets = read::size(row, value, 8 << 20..1 << 40, errors);
                self.log.octets = octets.unwrap_or(self.log.octets);
            }
            ("listen", "mx") => self.listen.mx = addresses(row, value, errors),
            ("listen", "submission") => self.listen.submission = addresses(row, value, errors),
            ("relay", "to") => self.relay_to(row, value),
            ("relay", "from") => self.relay_from(row, value),
            ("limits", "message") => {
                let octets = read::size(row, value, 64 << 10..1 << 40, errors);
                self.limits.message_octets = octets.unwrap_or(self.limits.message_octets);
            }
            ("limits", "recipients") => {
                // RFC 5321 §4.5.3.1.8: a server takes at least 100.
                let count = read::count(row, value, 100..100_001, errors);
                self.limits.recipients = count.map_or(self.limits.recipients, to_usize);
            }
            ("limits", "errors") => {
                let count =
                    read::count(row, value, 1..10_001, errors).and_then(|n| u32::try_from(n).ok());
                self.limits.errors = count.unwrap_or(self.limits.errors);
            }
            ("limits", "sessions") => {
                let count = read::count(row, value, 1..100_001, errors);
                self.limits.sessions = count.map_or(self.limits.sessions, to_usize);
            }
            ("queue", key) => {
                let range = Duration::from_secs(1)..Duration::from_hours(366 * 24);
                if let Some(time) = read::duration(row, value, range, errors) {
                    match key {
                        "retry_delay_min" => self.queue.retry_delay_min = time,
                        "retry_delay_max" => self.queue.retry_delay_max = time,
                        _ => self.queue.expiry = time,
                    }
                }
            }
            ("dns", "servers") => self.dns.servers = servers(row, value, errors),
            ("dns", _) => {
                let port = read::count(row, value, 1..65_536, errors);
                self.dns.smtp_port = port.and_then(|port| u16::try_from(port).ok());
            }
            ("try", _) => {
                if let Some(Deliver::Maildir(template)) =
                    read::text(row, value, errors).and_then(|t| deliver(&t, errors))
                {
                    self.parameters.any_domain = Some(template);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, key: String, value: &Value<'_>, span: &Range<usize>) {
        let line = self.errors.line(span.start);
        self.written.insert(key, (shown(value), line));
    }

    fn hostname(&mut self, row: &OptionRow, value: &Value<'_>) {
        let Some(written) = read::text(row, value, &mut self.errors) else {
            return;
        };
        match Domain::parse_name(&written.text) {
            Ok(domain) if written.text.contains('.') => {
                self.hostname = domain.name().map(Into::into);
                self.parameters.hostname = domain;
            }
            Ok(_) => self.errors.add(
                written.span,
                "hostname has no dot",
                "a full name such as \"mail.example.org\"",
            ),
            Err(why) => self.errors.add(
                written.span,
                "hostname is not a domain name",
                why.to_string(),
            ),
        }
    }

    fn folder(&mut self, row: &'static OptionRow, value: &Value<'_>) {
        let Some(written) = read::text(row, value, &mut self.errors) else {
            return;
        };
        if written.text.starts_with('/') {
            self.folders.insert(row.key, written.text.into());
        } else {
            self.errors.add(
                written.span,
                format!("`{}` must be an absolute path", row.key),
                "begin it with /",
            );
        }
    }

    fn relay_to(&mut self, row: &OptionRow, value: &Value<'_>) {
        let Some(written) = read::text(row, value, &mut self.errors) else {
            return;
        };
        if written.text.starts_with("smtps://") {
            return self.errors.add(
                written.span,
                "smtps:// is not supported yet",
                "TLS comes later; smtp:// works",
            );
        }
        let Some(rest) = written.text.strip_prefix("smtp://") else {
            return self.errors.add(
                written.span,
                "relay.to is not a mail server",
                "write smtp://host or smtp://host:port",
            );
        };
        match host_and_port(rest, 25) {
            Some((host, port)) => {
                self.parameters.relay_to = Some(SmartHost {
                    host: host.into(),
                    port,
                });
                self.relay_to_span = Some(written.span);
            }
            None => self.errors.add(
                written.span,
                "relay.to is not a mail server",
                "write smtp://host or smtp://host:port",
            ),
        }
    }

    fn relay_from(&mut self, row: &OptionRow, value: &Value<'_>) {
        for written in read::list(row, value, &mut self.errors) {
            let line = u32::try_from(self.errors.line(written.span.start)).unwrap_or(u32::MAX);
            match Network::parse(&written.text) {
                Ok(network) => {
                    let widest = if network.is_ipv4() {
                        RELAY_BITS_MIN.0
                    } else {
                        RELAY_BITS_MIN.1
                    };
                    if network.bits() < widest {
                        let title = format!("relay.from contains {}", written.text);
                        self.errors.add(
                            written.span,
                            title,
                            "this would be an open relay; refused",
                        );
                        continue;
                    }
                    let origin = Origin {
                        key: "relay.from".into(),
                        line,
                    };
                    self.parameters
                        .relay_from
                        .push(RelayFrom { network, origin });
                }
                Err(why) => self.errors.add(
                    written.span,
                    "relay.from has an entry that is no network",
                    why.to_string(),
                ),
            }
        }
    }

    fn domains(&mut self, section: &DeTable<'_>) {
        for (name, value) in section {
            let Some(table) = value.get_ref().as_table() else {
                self.errors.add(
                    name.span(),
                    "a domain is a section of its own",
                    "write [domain.\"example.org\"]",
                );
                continue;
            };
            match Domain::parse_name(name.get_ref()) {
                Ok(domain) => self.domain(&domain, table, name.span()),
                Err(why) => self
                    .errors
                    .add(name.span(), "not a domain name", why.to_string()),
            }
        }
    }

    fn domain(&mut self, domain: &Domain, table: &DeTable<'_>, span: Range<usize>) {
        let section = format!("domain.\"{domain}\"");
        let line = u32::try_from(self.errors.line(span.start)).unwrap_or(u32::MAX);
        let mut rule = DomainRule {
            users: Users::Any,
            aliases: Aliases::new(),
            deliver: Deliver::Mx,
            catch_all: None,
            origin: Origin {
                key: section.as_str().into(),
                line,
            },
        };
        let mut delivered = false;
        for (key, value) in table {
            let Some(row) = self.row("domain", key.get_ref(), key.span()) else {
                continue;
            };
            self.note(format!("{section}.{}", row.key), value, &key.span());
            match (row.key, row.kind) {
                ("users", _) => rule.users = self.users(row, value),
                (_, Kind::Aliases) => match value.get_ref().as_table() {
                    Some(table) => {
                        rule.aliases = self.aliases(&format!("{section}.aliases"), table);
                    }
                    None => self.errors.add(
                        value.span(),
                        "`aliases` must be a table",
                        "write { postmaster = \"ann\" }",
                    ),
                },
                ("deliver", _) => {
                    delivered = true;
                    let written = read::text(row, value, &mut self.errors);
                    if let Some(deliver) =
                        written.and_then(|written| deliver(&written, &mut self.errors))
                    {
                        rule.deliver = deliver;
                    }
                }
                _ => {
                    let written = read::text(row, value, &mut self.errors);
                    rule.catch_all = written.and_then(|written| target(&written, &mut self.errors));
                }
            }
        }
        if !delivered {
            self.errors.add(
                span.clone(),
                format!("domain \"{domain}\" does not say where its mail goes"),
                "add deliver = …",
            );
        }
        if rule.users == Users::Any
            && rule.deliver != Deliver::Mx
            && !matches!(rule.deliver, Deliver::Lmtp(_))
        {
            let label = "add users = [\"…\"], or every name would be taken";
            self.errors.add(
                span.clone(),
                format!("domain \"{domain}\" has Maildirs and no users"),
                label,
            );
        }
        self.domain_spans.insert(domain.clone(), span);
        self.parameters.domains.insert(domain.clone(), rule);
    }

    fn users(&mut self, row: &OptionRow, value: &Value<'_>) -> Users {
        let mut users = std::collections::BTreeSet::new();
        for written in read::list(row, value, &mut self.errors) {
            if written.text.contains(':') {
                self.errors.add(
                    written.span,
                    "tables of users are not supported yet",
                    "list the users here",
                );
                continue;
            }
            match LocalPart::from_meant(&written.text.to_ascii_lowercase()) {
                Ok(_) if written.text.contains('@') => {
                    self.errors.add(
                        written.span,
                        "a user is named without his domain",
                        "leave out @ and what follows",
                    );
                }
                Ok(_) if written.text.starts_with('.') || written.text.contains(['/', '+']) => {
                    let label = "a user's name cannot begin with a dot or have / or +";
                    self.errors.add(written.span, "not a user's name", label);
                }
                Ok(name) => {
                    if !users.insert(name.as_str().into()) {
                        self.errors.add(
                            written.span,
                            format!("user `{}` is listed twice", written.text),
                            "",
                        );
                    }
                }
                Err(why) => self
                    .errors
                    .add(written.span, "not a user's name", why.to_string()),
            }
        }
        Users::Listed(users)
    }

    fn aliases(&mut self, section: &str, table: &DeTable<'_>) -> Aliases {
        let row = OptionRow {
            section: "",
            key: "an alias",
            kind: Kind::List,
            default: "",
            doc: "",
            state: State::Built,
        };
        let mut aliases = Aliases::new();
        for (name, value) in table {
            let key = name.get_ref().to_ascii_lowercase();
            self.note(format!("{section}.{key}"), value, &name.span());
            if LocalPart::from_meant(&key).is_err() || key.contains('@') {
                self.errors.add(
                    name.span(),
                    "an alias is a name without a domain",
                    "leave out @ and what follows",
                );
                continue;
            }
            let written = read::list(&row, value, &mut self.errors);
            if written.is_empty() {
                self.errors.add(
                    value.span(),
                    format!("alias `{key}` leads to nobody"),
                    "name at least one address",
                );
            }
            let targets = written
                .iter()
                .filter_map(|written| target(written, &mut self.errors))
                .collect();
            let line = u32::try_from(self.errors.line(name.span().start)).unwrap_or(u32::MAX);
            let origin = Origin {
                key: format!("{section}.{key}").into(),
                line,
            };
            if aliases
                .insert(key.as_str().into(), Alias { targets, origin })
                .is_some()
            {
                self.errors.add(
                    name.span(),
                    format!("alias `{key}` stands here twice"),
                    "names are the same in any case",
                );
            }
        }
        aliases
    }

    /// What no value may make together with others.
    fn finish(mut self) -> Result<Config, Errors> {
        if self.hostname.is_none() && self.errors.is_empty() {
            self.errors.add(
                0..0,
                "hostname is not set",
                "add hostname = \"mail.example.org\"",
            );
        }
        if self.queue.retry_delay_min > self.queue.retry_delay_max {
            self.errors.add(
                0..0,
                "queue.retry_delay_min is longer than queue.retry_delay_max",
                "",
            );
        }
        let listens = !self.listen.mx.is_empty();
        let ours = self.parameters.domains.is_empty() && self.parameters.any_domain.is_none();
        if listens
            && ours
            && self.parameters.relay_from.is_empty()
            && self.parameters.aliases.is_empty()
        {
            let span = self.listen_span.clone();
            self.errors.add(
                span,
                "we listen and would refuse everything",
                "add a [domain.\"…\"] or relay.from",
            );
        }
        if self.errors.is_empty() {
            self.deliverable();
        }
        let beside = log::default_folder(self.folders.get("spool").map(PathBuf::as_path));
        self.log.folder = self.folders.remove("folder").unwrap_or(beside);
        match self.hostname {
            Some(hostname) if self.errors.is_empty() => Ok(Config {
                hostname,
                listen: self.listen,
                policy: self.parameters,
                limits: self.limits,
                queue: self.queue,
                dns: self.dns,
                log: self.log,
                spool: self
                    .folders
                    .remove("spool")
                    .unwrap_or_else(|| "/var/spool/ringmail".into()),
                runtime: self
                    .folders
                    .remove("runtime")
                    .unwrap_or_else(|| "/run/ringmail".into()),
                written: self.written,
            }),
            _ => Err(self.errors),
        }
    }

    /// Every alias leads somewhere, and every domain has a postmaster (RFC 5321 §4.5.1): the policy brain is
    /// asked as a session would ask it.
    fn deliverable(&mut self) {
        let policy = Policy::new(self.parameters.clone());
        let client = Client {
            ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
            listener: Listener::Mx,
        };
        let ask = |name: &str, domain: &Domain| {
            let local_part = LocalPart::from_meant(name).ok()?;
            let path = ForwardPath::Mailbox(Mailbox {
                local_part,
                domain: domain.clone(),
            });
            match policy.recipient(client, &ReversePath::Null, &path).decision {
                Decision::Accept(_) => None,
                Decision::Refuse(refusal) => Some(refusal),
            }
        };
        let bad = |refusal: Refusal| match refusal {
            Refusal::BadAlias => "it leads in a circle, or to nobody",
            Refusal::UnknownUser | Refusal::RelayingDenied => "there is no such user",
        };
        let mut wrong = Vec::new();
        for (domain, rule) in &self.parameters.domains {
            let span = self.domain_spans.get(domain).cloned().unwrap_or(0..0);
            for name in rule.aliases.keys() {
                if let Some(refusal) = ask(name, domain) {
                    wrong.push((
                        span.clone(),
                        format!("alias `{name}` of {domain} cannot be resolved"),
                        bad(refusal),
                    ));
                }
            }
            if ask("postmaster", domain).is_some() {
                let label = "add postmaster to its users or aliases, or to [aliases]";
                wrong.push((span, format!("domain {domain} has no postmaster"), label));
            }
        }
        for (name, alias) in &self.parameters.aliases {
            if let Some(refusal) = ask(name, &self.parameters.hostname) {
                let start = self.line_start(alias.origin.line);
                wrong.push((
                    start,
                    format!("alias `{name}` cannot be resolved"),
                    bad(refusal),
                ));
            }
        }
        for (span, title, label) in wrong {
            self.errors.add(span, title, label);
        }
    }

    fn line_start(&self, line: u32) -> Range<usize> {
        self.errors.line_span(line)
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A value as it could be written, on one line.
fn shown(value: &Value<'_>) -> String {
    let value = value.get_ref();
    if let Some(text) = value.as_str() {
        return format!("{text:?}");
    }
    if let Some(array) = value.as_array() {
        let items: Vec<String> = array.iter().map(shown).collect();
        return format!("[{}]", items.join(", "));
    }
    if let Some(table) = value.as_table() {
        let items: Vec<String> = table
            .iter()
            .map(|(k, v)| format!("{} = {}", k.get_ref(), shown(v)))
            .collect();
        return format!("{{ {} }}", items.join(", "));
    }
    value
        .as_integer()
        .map_or_else(|| value.type_str().to_owned(), ToString::to_string)
}

fn addresses(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for written in read::list(row, value, errors) {
        if let Ok(address) = written.text.parse() {
            addresses.push(address);
        } else {
            let title = format!("listen.{} is not an address and port", row.key);
            errors.add(written.span, title, "write \"[::]:25\" or \"192.0.2.1:25\"");
        }
    }
    addresses
}

fn servers(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for written in read::list(row, value, errors) {
        let address = written.text.parse().ok();
        let alone = || {
            written
                .text
                .parse()
                .ok()
                .map(|ip: IpAddr| SocketAddr::new(ip, 53))
        };
        match address.or_else(alone) {
            Some(server) => servers.push(server),
            None => errors.add(
                written.span.clone(),
                "not a name server's address",
                "write \"192.0.2.53\"",
            ),
        }
    }
    servers
}

/// `host`, `host:port`, `[address]:port`.
fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_string(), address.port()));
    }
    if let Ok(address) = text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        return Some((address.to_string(), default));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
        None => (text, default),
    };
    Domain::parse_name(host).ok()?;
    Some((host.to_owned(), port))
}

fn deliver(written: &Text, errors: &mut Errors) -> Option<Deliver> {
    let text = &*written.text;
    if text == "mx" {
        return Some(Deliver::Mx);
    }
    if let Some(path) = text.strip_prefix("maildir:") {
        let leaves = path.split('/').any(|part| part == "..");
        if !path.starts_with('/') || !path.contains("{user}") || leaves {
            errors.add(
                written.span.clone(),
                "not a Maildir template",
                "an absolute path with {user} and without ..",
            );
            return None;
        }
        return Some(Deliver::Maildir(path.into()));
    }
    if let Some(rest) = text.strip_prefix("lmtp:") {
        if rest.starts_with('/') {
            return Some(Deliver::Lmtp(LmtpSocket::Unix(rest.into())));
        }
        // RFC 2033 §5: LMTP has no port of its own.
        if let Some((host, port)) = host_and_port(rest, 0).filter(|(_, port)| *port != 0) {
            return Some(Deliver::Lmtp(LmtpSocket::Tcp(host.into(), port)));
        }
        errors.add(
            written.span.clone(),
            "not an LMTP server",
            "write lmtp:/path/of/socket or lmtp:host:port",
        );
        return None;
    }
    let label = "maildir:/path/{domain}/{user}, lmtp:/socket, lmtp:host:port, or mx";
    errors.add(written.span.clone(), "deliver does not say where", label);
    None
}

fn target(written: &Text, errors: &mut Errors) -> Option<Target> {
    let text = &*written.text;
    if text.starts_with('|') || text.starts_with('/') || text.starts_with(':') {
        errors.add(
            written.span.clone(),
            "commands, files and includes are not supported yet",
            "name an address",
        );
        return None;
    }
    let parsed = if text.contains('@') {
        Mailbox::parse(text).map(Target::Mailbox)
    } else {
        LocalPart::from_meant(text).map(Target::Name)
    };
    parsed
        .map_err(|why| errors.add(written.span.clone(), "not an address", why.to_string()))
        .ok()
}
