//! Mistakes: all of them at once, each with file, line, the line itself, and a way out.

use super::{grammar, hidden};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt::{self, Write as _};
use std::ops::Range;

/// Most mistakes of one file that are shown; after so many the rest helps nobody.
const SHOWN_MAX: usize = 100;

/// One mistake.
#[derive(Debug)]
struct Mistake {
    title: String,
    label: String,
    span: Range<usize>,
    /// Another place that belongs to it, and what is there.
    beside: Option<(Range<usize>, String)>,
}

/// All mistakes of a file.
#[derive(Debug)]
pub struct Errors {
    path: String,
    text: String,
    mistakes: Vec<Mistake>,
    /// The file could not be read at all: in a sentence.
    file: Option<String>,
    /// It is not TOML: keys and values were not looked at.
    grammar: bool,
}

/// A mistake as others print it.
#[derive(Debug)]
pub struct Said<'a> {
    /// What is wrong.
    pub title: &'a str,
    /// What to do about it, or more of why; may be empty.
    pub label: &'a str,
    /// The line, from 1; 0 where the mistake is what the file does not say.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: usize,
}

impl Errors {
    pub(super) fn new(text: &str, path: &str) -> Self {
        Self {
            path: path.into(),
            text: hidden::hide(text),
            mistakes: Vec::new(),
            file: None,
            grammar: false,
        }
    }

    /// The file cannot be read; why, and what to do about it.
    pub(super) fn of_file(path: &str, why: String) -> Self {
        Self {
            file: Some(why),
            ..Self::new("", path)
        }
    }

    /// Notes a mistake: what is wrong, and what to do about it or more of why. A mistake that is what the
    /// file does not say has the span 0..0.
    pub(super) fn add(
        &mut self,
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.push(span, title.into(), label.into(), None);
    }

    /// The same, with another place that belongs to it.
    pub(super) fn add_beside(
        &mut self,
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        beside: (Range<usize>, String),
    ) {
        self.push(span, title.into(), label.into(), Some(beside));
    }

    /// What stands there may be secret: where its lines are shown, it is not. For what was read; of what could not be, `hidden`
    /// looks at each line by itself.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        if let Some(shown) = self.text.get(span.clone()) {
            // Where its words end is not shown either.
            let stars = hidden::stars(shown).map(|c| if c == ' ' { '*' } else { c });
            let stars: String = stars.collect();
            self.text.replace_range(span, &stars);
        }
    }

    /// Notes a mistake of TOML's grammar.
    pub(super) fn add_grammar(&mut self, span: Option<Range<usize>>, message: &str) {
        self.grammar = true;
        let span = span.unwrap_or(0..0);
        let written = self.text.get(span.clone()).unwrap_or_default();
        let (title, label) = grammar::told(message, written);
        self.push(span, title, label.into(), None);
    }

    fn push(
        &mut self,
        span: Range<usize>,
        title: String,
        label: String,
        beside: Option<(Range<usize>, String)>,
    ) {
        let end = span.end.min(self.text.len());
        let span = span.start.min(end)..end;
        self.mistakes.push(Mistake {
            title,
            label,
            span,
            beside,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.is_empty() && self.file.is_none()
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, offset: usize) -> u32 {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let lines = before.split(|octet| *octet == b'\n').count();
        u32::try_from(lines).unwrap_or(u32::MAX)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.mistakes.len() + usize::from(self.file.is_some())
    }

    /// Each, in the order of the file.
    pub fn list(&self) -> impl Iterator<Item = Said<'_>> {
        let file = self.file.iter().map(|why| Said {
            title: why,
            label: "",
            line: 0,
            column: 0,
        });
        file.chain(self.sorted().into_iter().map(|mistake| {
            let start = mistake.span.start;
            let line = self.text[..start].rfind('\n').map_or(0, |end| end + 1);
            let said = !mistake.is_of_absence();
            Said {
                title: &mistake.title,
                label: &mistake.label,
                line: if said { self.line(start) } else { 0 },
                column: if said {
                    self.text[line..start].chars().count() + 1
                } else {
                    0
                },
            }
        }))
    }

    fn sorted(&self) -> Vec<&Mistake> {
        let mut mistakes: Vec<&Mistake> = self.mistakes.iter().collect();
        mistakes.sort_by_key(|mistake| mistake.span.start);
        mistakes
    }

    /// As it is printed: with `styled` for a terminal.
    pub fn render(&self, styled: bool) -> String {
        if let Some(file) = &self.file {
            return format!("error: {}: {file}\n", self.path);
        }
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out = String::new();
        for mistake in self.sorted().into_iter().take(SHOWN_MAX) {
            out.push_str(&self.render_one(mistake, &renderer));
            out.push('\n');
        }
        if self.mistakes.len() > SHOWN_MAX {
            // Writing into a String does not fail.
            let _ = writeln!(out, "and {} more", self.mistakes.len() - SHOWN_MAX);
        }
        if self.grammar {
            out.push_str("note: this is not TOML yet; its keys and values are judged when it is\n");
        }
        out
    }

    fn render_one(&self, mistake: &Mistake, renderer: &Renderer) -> String {
        if mistake.is_of_absence() {
            let label = if mistake.label.is_empty() {
                String::new()
            } else {
                format!("\n  = {}", mistake.label)
            };
            return format!("error: {}\n --> {}{label}", mistake.title, self.path);
        }
        let mut annotation = AnnotationKind::Primary.span(mistake.span.clone());
        if !mistake.label.is_empty() {
            annotation = annotation.label(&mistake.label);
        }
        let mut snippet = Snippet::source(&self.text)
            .path(&self.path)
            .annotation(annotation);
        if let Some((span, label)) = &mistake.beside {
            snippet = snippet.annotation(AnnotationKind::Context.span(span.clone()).label(label));
        }
        let report = [Level::ERROR.primary_title(&mistake.title).element(snippet)];
        renderer.render(&report)
    }
}

impl Mistake {
    /// Whether it is what the file does not say.
    fn is_of_absence(&self) -> bool {
        self.span == (0..0)
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}
