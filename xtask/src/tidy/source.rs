//! Rust files seen as lines of code: comments gone, strings emptied, functions and test modules found.
//!
//! This is no parser. It knows as much of the language as it takes to count lines and to match braces, and the house's
//! own code is what it has to get right. Invariant: a line here is the line with the same number in the file.

use std::ops::Range;

/// A Rust file.
pub(super) struct Source {
    /// Path relative to the repository.
    pub(super) path: String,
    /// The file's text.
    pub(super) text: String,
    /// Its lines without comments; inside of strings every character is an `s`.
    pub(super) code: Vec<String>,
    /// Lines of `#[cfg(test)]` modules, from 0.
    tests: Vec<Range<usize>>,
}

/// A function with a body.
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// Line of its `fn`, from 0.
    pub(super) line: usize,
    /// Lines of code from there to its closing brace.
    pub(super) length: usize,
}

impl Source {
    /// Reads a file's text.
    pub(super) fn new(path: &str, text: String) -> Self {
        let code: Vec<String> = strip(&text).lines().map(str::to_owned).collect();
        let mut source = Self { path: path.to_owned(), text, code, tests: Vec::new() };
        source.tests = source.find_tests();
        source
    }

    /// Whether the whole file is made of tests or for them.
    pub(super) fn is_test(&self) -> bool {
        let in_folder = |folder: &str| self.path.contains(&format!("/{folder}/")) || self.path.starts_with(folder);
        self.path.ends_with("/tests.rs") || in_folder("tests") || in_folder("e2e")
    }

    /// Whether a line (from 0) belongs to tests.
    pub(super) fn is_test_line(&self, line: usize) -> bool {
        self.is_test() || self.tests.iter().any(|tests| tests.contains(&line))
    }

    /// Lines of code outside of test modules.
    pub(super) fn length(&self) -> usize {
        let in_module = |line: usize| self.tests.iter().any(|tests| tests.contains(&line));
        let code = self.code.iter().enumerate().filter(|(line, code)| !code.trim().is_empty() && !in_module(*line));
        code.count()
    }

    /// Names in `mod name;`.
    pub(super) fn modules(&self) -> impl Iterator<Item = &str> {
        self.code.iter().filter_map(|line| {
            let words = line.trim().strip_suffix(';')?;
            let (before, name) = words.rsplit_once("mod ")?;
            let is_declaration =
                before.is_empty() || before.ends_with("pub ") || before.ends_with(") ") || before.ends_with("] ");
            is_declaration.then_some(name)
        })
    }

    /// All functions with a body.
    pub(super) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for (line, code) in self.code.iter().enumerate() {
            for (at, _) in code.match_indices("fn ") {
                let starts_word =
                    !code.get(..at).unwrap_or_default().ends_with(|c: char| c.is_alphanumeric() || c == '_');
                let rest = code.get(at + 3..).unwrap_or_default();
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if starts_word
                    && !name.is_empty()
                    && let Some(end) = self.end_of_body(line, at)
                {
                    let body = self.code.get(line..=end).unwrap_or_default();
                    let length = body.iter().filter(|code| !code.trim().is_empty()).count();
                    functions.push(Function { name, line, length });
                }
            }
        }
        functions
    }

    /// The line with the brace that closes the first one opened from here; `None` when a `;` comes first.
    fn end_of_body(&self, line: usize, column: usize) -> Option<usize> {
        let (mut braces, mut others) = (0_i32, 0_i32);
        for (number, code) in self.code.iter().enumerate().skip(line) {
            let from = if number == line { column } else { 0 };
            for character in code.get(from..).unwrap_or_default().chars() {
                match character {
                    '(' | '[' => others += 1,
                    ')' | ']' => others -= 1,
                    '{' => braces += 1,
                    '}' => braces -= 1,
                    ';' if braces == 0 && others == 0 => return None,
                    _ => continue,
                }
                if character == '}' && braces == 0 && others == 0 {
                    return Some(number);
                }
            }
        }
        None
    }

    fn find_tests(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for (line, code) in self.code.iter().enumerate() {
            if code.trim() == "#[cfg(test)]"
                && self.code.get(line + 1).is_some_and(|next| next.trim_start().starts_with("mod "))
                && let Some(end) = self.end_of_body(line + 1, 0)
            {
                found.push(line..end + 1);
            }
        }
        found
    }
}

/// Where the reader of a file is.
enum Inside {
    Code,
    LineComment,
    /// How deep.
    BlockComment(u32),
    /// A string that ends with a quote and so many hashes; `None` when a backslash escapes.
    Text(Option<usize>),
}

/// The text with comments blanked and string contents replaced, line by line the same.
fn strip(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let (mut out, mut inside, mut index) = (String::with_capacity(text.len()), Inside::Code, 0);
    while index < characters.len() {
        let character = at(index);
        let pair = (character, at(index + 1));
        let (put, width) = match &mut inside {
            Inside::Code => match pair {
                ('/', '/') => (enter(&mut inside, Inside::LineComment), 2),
                ('/', '*') => (enter(&mut inside, Inside::BlockComment(1)), 2),
                ('"', _) => {
                    inside = Inside::Text(raw_hashes(&characters, index));
                    ('"', 1)
                }
                ('\'', '\\') => ('c', (2..12).find(|width| at(index + width + 1) == '\'').unwrap_or(1) + 2),
                ('\'', _) if at(index + 2) == '\'' => ('c', 3),
                _ => (character, 1),
            },
            Inside::LineComment => (' ', 1),
            Inside::BlockComment(depth) => match pair {
                ('*', '/') if *depth == 1 => (enter(&mut inside, Inside::Code), 2),
                ('*', '/') => {
                    *depth -= 1;
                    (' ', 2)
                }
                ('/', '*') => {
                    *depth += 1;
                    (' ', 2)
                }
                _ => (' ', 1),
            },
            Inside::Text(None) if character == '\\' && pair.1 != '\n' => ('s', 2),
            Inside::Text(hashes)
                if character == '"' && (1..=hashes.unwrap_or(0)).all(|step| at(index + step) == '#') =>
            {
                inside = Inside::Code;
                ('"', 1)
            }
            Inside::Text(_) => (if character == ' ' { ' ' } else { 's' }, 1),
        };
        if character == '\n' {
            if matches!(inside, Inside::LineComment) {
                inside = Inside::Code;
            }
            out.push('\n');
        } else {
            out.push(put);
        }
        index += width;
    }
    out
}

fn enter(inside: &mut Inside, next: Inside) -> char {
    *inside = next;
    ' '
}

/// The number of hashes before a quote that opens a raw string; `None` for an ordinary one.
fn raw_hashes(characters: &[char], quote: usize) -> Option<usize> {
    let before = characters.get(..quote).unwrap_or_default();
    let hashes = before.iter().rev().take_while(|character| **character == '#').count();
    let prefix = before.len().checked_sub(hashes + 1).and_then(|at| before.get(at));
    (prefix == Some(&'r')).then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_keep_their_place() {
        let got = strip("a // b\n/* c /* d */ e */ f \"{\\\"}\" 'x' '\\'' r#\"}\"\"#; 'life");
        assert_eq!(got, "a    \n              f \"sss\" c c r#\"ss\"#; 'life");
    }

    #[test]
    fn a_function_is_as_long_as_its_code() {
        let source = Source::new("x.rs", "fn a(\n  b: [u8; 2],\n) {\n\n  // no\n  if b { c }\n}\nfn d();\n".to_owned());
        let found: Vec<_> = source.functions().into_iter().map(|f| (f.name, f.line, f.length)).collect();
        assert_eq!(found, [("a".to_owned(), 0, 5)]);
    }

    #[test]
    fn test_modules_do_not_count() {
        let source = Source::new(
            "x.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nmod c;\npub mod d;\n".to_owned(),
        );
        assert_eq!((source.length(), source.is_test_line(3), source.is_test_line(0)), (3, true, false));
        assert_eq!(source.modules().collect::<Vec<_>>(), ["c", "d"]);
    }
}
