//! Quotations in sources, as Duvet reads them: `//= https://www.rfc-editor.org/rfc/rfcNUMBER#section-SECTION`, then lines
//! of `//# `.

/// Where an RFC's text is.
const ADDRESS: &str = "//= https://www.rfc-editor.org/rfc/rfc";

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Citation {
    pub rfc: u16,
    pub section: String,
    /// Its lines, joined by blanks.
    pub quoted: String,
    /// Where it begins, from 1.
    pub line: usize,
}

/// All of a source.
pub fn read(text: &str) -> Vec<Citation> {
    let mut found: Vec<Citation> = Vec::new();
    // Whether the lines belong to the last of them still.
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let begins = line
            .strip_prefix(ADDRESS)
            .and_then(|rest| rest.split_once("#section-"));
        if let Some((rfc, section)) = begins {
            open = true;
            found.push(Citation {
                // A number that is none is no RFC of ours, and has no table.
                rfc: rfc.parse().unwrap_or(0),
                section: section.into(),
                quoted: String::new(),
                line: number,
            });
        } else if let (true, Some(words), Some(last)) =
            (open, line.strip_prefix("//#"), found.last_mut())
        {
            last.quoted.push_str(words);
        } else {
            open &= line.starts_with("//= ");
        }
    }
    found
}
