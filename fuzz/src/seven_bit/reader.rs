//! A reader of MIME (RFC 2045, RFC 2046) that has all content before it: line by line, a call for each level.

use mail::seven_bit::{BOUNDARY_OCTETS, NESTING};

/// A part that has no parts, with the fields before it.
pub struct Part {
    /// Those of its header section.
    pub fields: Vec<Field>,
    /// Its Content-Transfer-Encoding, in lower case.
    pub encoding: String,
    /// As it stands there.
    pub body: Vec<u8>,
}

/// A field.
pub struct Field {
    /// In lower case.
    pub name: String,
    /// What is behind the colon, folded as it is.
    pub text: Vec<u8>,
}

/// All parts that have no parts, and the header sections of those that do with an empty body, in their order.
pub fn parts(content: &[u8]) -> Vec<Part> {
    let mut reader = Reader {
        lines: lines(content),
        at: 0,
        levels: Vec::new(),
        parts: Vec::new(),
    };
    reader.part(false);
    assert_eq!(reader.at, reader.lines.len(), "something was not read");
    reader.parts
}

struct Reader<'a> {
    /// With their CRLFs.
    lines: Vec<&'a [u8]>,
    at: usize,
    /// The boundaries of what is open; nothing for a message.
    levels: Vec<Option<Vec<u8>>>,
    parts: Vec<Part>,
}

/// A delimiter: of which level, and whether it is the last.
type Delimiter = (usize, bool);

impl Reader<'_> {
    /// Reads a part up to a delimiter or to the end.
    fn part(&mut self, of_digest: bool) -> Option<Delimiter> {
        let (fields, is_cut_short) = self.fields();
        let value = |name| {
            let field = fields.iter().find(|field: &&Field| field.is(name));
            field.map(|field| &field.text[..])
        };
        let (kind, parameters) = match value("content-type") {
            Some(text) => (first_word(text), pairs(text)),
            None if of_digest => ("message/rfc822".into(), Vec::new()),
            None => ("text/plain".into(), Vec::new()),
        };
        let encoding = value("content-transfer-encoding").map_or_else(|| "7bit".into(), first_word);
        let boundary = parameters
            .into_iter()
            .find(|(name, _)| name == "boundary" || name.starts_with("boundary*"));
        let boundary = boundary.filter(|(name, _)| name == "boundary");
        let boundary = boundary.map(|(_, value)| value.trim_ascii_end().to_vec());
        let boundary =
            boundary.filter(|b| b.is_ascii() && (1..=BOUNDARY_OCTETS).contains(&b.len()));
        let is_deep = self.levels.len() >= NESTING;
        let level = self.levels.len();
        let is_identity = ["7bit", "8bit", "binary"].contains(&&*encoding);
        if kind == "message/rfc822" && is_identity && !is_deep {
            self.keep(fields, "7bit", Vec::new());
            self.levels.push(None);
            let end = self.part(false);
            self.levels.pop();
            return end;
        }
        // A delimiter that ends the header section is none of this part's own, whatever boundary that says.
        let opens =
            kind.starts_with("multipart/") && boundary.is_some() && !is_deep && !is_cut_short;
        if opens {
            self.levels.push(boundary);
        }
        let body = self.text();
        let mut end = self.delimiter();
        if opens && end.is_some_and(|(found, _)| found == level) {
            self.keep(fields, "7bit", Vec::new());
            while let Some((found, is_last)) = end.filter(|(found, _)| *found == level) {
                self.at += 1;
                if is_last {
                    self.levels.truncate(found);
                    self.text();
                    return self.delimiter();
                }
                end = self.part(kind == "multipart/digest");
            }
        } else {
            let body = match end {
                Some(_) => body.strip_suffix(b"\r\n").unwrap_or(&body).to_vec(),
                None => body,
            };
            self.keep(fields, &encoding, body);
        }
        self.levels.truncate(level);
        end
    }

    fn keep(&mut self, fields: Vec<Field>, encoding: &str, body: Vec<u8>) {
        self.parts.push(Part {
            fields,
            encoding: encoding.into(),
            body,
        });
    }

    /// The delimiter that is here.
    fn delimiter(&self) -> Option<Delimiter> {
        let line = self.lines.get(self.at)?;
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let is_ended = self.lines[self.at].len() > line.len();
        if line.len() > 1000 || line.len() == 1000 && !is_ended {
            return None;
        }
        let blanks = line.iter().rev().take_while(|o| is_blank(**o)).count();
        // A boundary does not end with blanks.
        let line = &line[..line.len() - blanks];
        for (level, boundary) in self.levels.iter().enumerate().rev() {
            let Some(boundary) = boundary else { continue };
            if line == [b"--", &boundary[..]].concat() {
                return Some((level, false));
            }
            if line == [b"--", &boundary[..], b"--"].concat() {
                return Some((level, true));
            }
        }
        None
    }

    /// Lines up to a delimiter.
    fn text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while self.at < self.lines.len() && self.delimiter().is_none() {
            text.extend_from_slice(self.lines[self.at]);
            self.at += 1;
        }
        text
    }

    /// A header section with its empty line, and whether a delimiter ends it instead.
    fn fields(&mut self) -> (Vec<Field>, bool) {
        let mut fields: Vec<Field> = Vec::new();
        let mut was_field = false;
        let mut is_cut_short = self.at < self.lines.len();
        while let Some(line) = self.lines.get(self.at)
            && self.delimiter().is_none()
        {
            if *line == b"\r\n" {
                self.at += 1;
                is_cut_short = false;
                break;
            }
            let is_folded = is_blank(line[0]) && was_field;
            match (name(line), fields.last_mut()) {
                (_, Some(field)) if is_folded => field.text.extend_from_slice(line),
                (Some(name), _) => {
                    let colon = line.iter().position(|o| *o == b':').expect("one");
                    let text = line[colon + 1..].to_vec();
                    fields.push(Field { name, text });
                }
                (None, None) if line.starts_with(b"From ") || line.starts_with(b">From ") => {}
                _ => {
                    is_cut_short = false;
                    break;
                }
            }
            was_field = !fields.is_empty();
            self.at += 1;
            is_cut_short = self.at < self.lines.len();
        }
        (fields, is_cut_short)
    }
}

impl Part {
    /// The octets that it stands for.
    pub fn decoded(&self) -> Vec<u8> {
        match &*self.encoding {
            "quoted-printable" => unquoted_printable(&self.body),
            "base64" => unbase64(&self.body),
            _ => self.body.clone(),
        }
    }

    /// Whether it is encoded in a way that is known.
    pub fn is_encoded(&self) -> bool {
        ["quoted-printable", "base64"].contains(&&*self.encoding)
    }

    /// The lines of its body.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines(&self.body)
            .into_iter()
            .map(|line| line.strip_suffix(b"\r\n").unwrap_or(line))
    }
}

impl Field {
    /// Whether it has this name.
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Its text, encoded-words by `Q` put in clear.
    pub fn words(&self) -> Vec<u8> {
        let mut clear = Vec::new();
        for word in self.text.split(|octet| b" \t\r\n".contains(octet)) {
            let inner = word
                .strip_prefix(b"=?")
                .and_then(|w| w.trim_ascii().strip_suffix(b"?="));
            match inner.map(|inner| inner.splitn(3, |o| *o == b'?').collect::<Vec<_>>()) {
                Some(inner) if inner.len() == 3 && inner[1] == b"Q" => {
                    let blanks = |o: &u8| if *o == b'_' { b' ' } else { *o };
                    let text: Vec<u8> = inner[2].iter().map(blanks).collect();
                    clear.extend(unquoted_printable(&text));
                }
                _ => clear.extend_from_slice(word),
            }
        }
        clear
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let (line, behind) = rest.split_at(end.map_or(rest.len(), |end| end + 2));
        lines.push(line);
        rest = behind;
    }
    lines
}

fn is_blank(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// The name of the field that begins with this line, in lower case.
fn name(line: &[u8]) -> Option<String> {
    // What is longer than a line may be is no name.
    let reach = &line[..line.len().min(998)];
    let colon = reach.iter().position(|octet| *octet == b':')?;
    let name = &reach[..colon];
    let blanks = name.iter().rev().take_while(|o| is_blank(**o)).count();
    let name = String::from_utf8(name[..name.len() - blanks].to_vec()).ok()?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    is_name.then(|| name.to_lowercase())
}

/// A value with a blank in place of each comment that is not quoted.
fn without_comments(value: &[u8]) -> Vec<u8> {
    let (mut plain, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for octet in value {
        let was_escaped = std::mem::replace(&mut escaped, false);
        let inside = quoted || depth > 0;
        match octet {
            _ if was_escaped => {}
            b'\\' if inside => escaped = true,
            b'"' if depth == 0 => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if depth > 0 => {
                depth -= 1;
                plain.push(b' ');
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            plain.push(*octet);
        }
    }
    plain
}

/// What comes first, in lower case.
fn first_word(value: &[u8]) -> String {
    // Quotes are nothing here: a comment begins in them too.
    let is_space = |octet: &u8| b" \t\r\n".contains(octet);
    let mut rest = value;
    loop {
        rest = &rest[rest.iter().take_while(|o| is_space(o)).count()..];
        if rest.first() != Some(&b'(') {
            break;
        }
        let (mut depth, mut end, mut escaped) = (0, rest.len(), false);
        for (at, octet) in rest.iter().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = at + 1;
                break;
            }
        }
        rest = &rest[end..];
    }
    let word: Vec<u8> = rest
        .iter()
        .take_while(|o| !is_space(o) && !b"(;".contains(o))
        .copied()
        .collect();
    word.to_ascii_lowercase()
        .iter()
        .map(|octet| char::from(*octet))
        .collect()
}

/// The parameters, their names in lower case, their values without quotes.
fn pairs(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let plain = without_comments(value);
    let (mut fields, mut quoted, mut escaped) = (vec![Vec::new()], false, false);
    for octet in plain {
        let was_escaped = std::mem::replace(&mut escaped, false);
        match octet {
            _ if was_escaped => {}
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                fields.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(field) = fields.last_mut() {
            field.push(octet);
        }
    }
    let is_space = |octet: &u8| b" \t\r\n".contains(octet);
    let token = |text: &[u8]| {
        let is_of =
            |o: &&u8| !o.is_ascii() || o.is_ascii_graphic() && !b"()<>,;:\\\"[]=".contains(o);
        text.iter().take_while(is_of).count()
    };
    let skip = |text: &[u8]| text.iter().take_while(|o| is_space(o)).count();
    let mut pairs = Vec::new();
    for field in &fields[1..] {
        let rest = &field[skip(field)..];
        let (name, rest) = rest.split_at(token(rest));
        let rest = &rest[skip(rest)..];
        let Some(rest) = rest.strip_prefix(b"=").filter(|_| !name.is_empty()) else {
            continue;
        };
        let rest = &rest[skip(rest)..];
        let value = match rest.strip_prefix(b"\"") {
            None => rest[..token(rest)].to_vec(),
            Some(inner) => {
                let (mut value, mut escaped) = (Vec::new(), false);
                for octet in inner {
                    match octet {
                        _ if std::mem::take(&mut escaped) => value.push(*octet),
                        b'\\' => escaped = true,
                        b'"' => break,
                        b'\r' | b'\n' => {}
                        _ => value.push(*octet),
                    }
                }
                value
            }
        };
        let name = name.to_ascii_lowercase();
        pairs.push((name.iter().map(|o| char::from(*o)).collect(), value));
    }
    pairs
}

/// RFC 2045 §6.7, as those read it who take what is wrong for itself. A blank at the end of a line is nothing, but in lines
/// so long and blank that nobody can send them.
fn unquoted_printable(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    for line in lines(text) {
        let (mut line, is_ended) = match line.strip_suffix(b"\r\n") {
            Some(line) => (line, true),
            None => (line, false),
        };
        let blanks = line.iter().rev().take_while(|o| is_blank(**o)).count();
        if blanks < 60 {
            line = &line[..line.len() - blanks];
        }
        let soft = line.last() == Some(&b'=');
        line = line.strip_suffix(b"=").unwrap_or(line);
        let mut at = 0;
        while let Some(octet) = line.get(at) {
            let hex = (*octet == b'=').then(|| line.get(at + 1..at + 3)).flatten();
            let hex = hex.filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
            let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
            let hex = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            at += if hex.is_some() { 3 } else { 1 };
            octets.push(hex.unwrap_or(*octet));
        }
        if is_ended && !soft {
            octets.extend_from_slice(b"\r\n");
        }
    }
    octets
}

/// RFC 2045 §6.8; what is not of the alphabet is nothing.
fn unbase64(text: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut octets, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for octet in text {
        let Some(six) = ALPHABET.iter().position(|known| known == octet) else {
            continue;
        };
        bits = bits << 6 | u32::try_from(six).unwrap_or(0);
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.extend(u8::try_from(bits >> held));
            bits &= (1 << held) - 1;
        }
    }
    octets
}
