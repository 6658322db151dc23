//! Plain-text tables that fit a terminal: columns of little weight go, and long texts lose their middle.
//!
//! Knows nothing of flows. Invariants: no line is wider than asked for while the weightiest columns can still be cut,
//! no line ends in a space, and no control character passes (names come from other machines, and terminals obey them).

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// On which side a column is flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// How a column stands in a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its header.
    pub title: &'static str,
    /// On which side it is flush.
    pub align: Align,
    /// 0 stays; the others go, highest number first, equals together; 1 only when cutting texts helps no more.
    pub rank: u8,
    /// Its texts may lose their middle.
    pub cut: bool,
}

const GAP: usize = 2;
/// Texts are cut to this before a column of rank 2 or more goes.
const CUT_FIRST: usize = 24;
/// Texts are cut to this before a column of rank 1 goes.
const CUT_SECOND: usize = 15;
/// Texts are cut no further than this.
const CUT_LAST: usize = 5;

/// Lays out `rows` under a header. Each row has one text for each column; `width` is in terminal cells.
pub fn render(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|text| clean(text)).collect()).collect();
    let mut shown: Vec<Shown> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let texts = rows.iter().filter_map(|row| row.get(index));
            let width = texts.map(|text| text.width()).max().unwrap_or(0).max(column.title.width());
            Shown { index, column: *column, width }
        })
        .collect();
    if let Some(width) = width {
        fit(&mut shown, width);
    }
    let mut page = String::new();
    line(&mut page, shown.iter().map(|column| (column, column.column.title)));
    for row in &rows {
        line(&mut page, shown.iter().map(|column| (column, row.get(column.index).map_or("", String::as_str))));
    }
    page
}

struct Shown {
    index: usize,
    column: Column,
    width: usize,
}

fn gaps(shown: &[Shown]) -> usize {
    GAP * shown.len().saturating_sub(1)
}

/// Room for an IPv4 address and a port is not given up for a further column; room for more is.
fn fit(shown: &mut Vec<Shown>, width: usize) {
    shed(shown, width, CUT_FIRST, 2);
    shed(shown, width, CUT_SECOND, 1);
    shorten(shown, width);
}

/// Lets columns go, the least important first and equals together, down to those under `keep`, until the rest can be
/// fitted by cutting texts to no less than `least`.
fn shed(shown: &mut Vec<Shown>, width: usize, least: usize, keep: u8) {
    let cut_to = |column: &Shown| if column.column.cut { column.width.min(least) } else { column.width };
    while shown.iter().map(cut_to).sum::<usize>() + gaps(shown) > width {
        let Some(rank) = shown.iter().map(|column| column.column.rank).filter(|rank| *rank >= keep).max() else {
            return;
        };
        shown.retain(|column| column.column.rank != rank);
    }
}

/// Narrows the widest column that may be cut, one cell at a time.
fn shorten(shown: &mut [Shown], width: usize) {
    while shown.iter().map(|column| column.width).sum::<usize>() + gaps(shown) > width {
        let widest = shown.iter_mut().filter(|column| column.column.cut && column.width > CUT_LAST);
        let Some(column) = widest.max_by_key(|column| column.width) else { return };
        column.width -= 1;
    }
}

fn line<'a>(page: &mut String, cells: impl Iterator<Item = (&'a Shown, &'a str)>) {
    let start = page.len();
    for (at, (column, text)) in cells.enumerate() {
        if at > 0 {
            page.extend(std::iter::repeat_n(' ', GAP));
        }
        let text = cut(text, column.width);
        let space = std::iter::repeat_n(' ', column.width.saturating_sub(text.width()));
        match column.column.align {
            Align::Left => {
                page.push_str(&text);
                page.extend(space);
            }
            Align::Right => {
                page.extend(space);
                page.push_str(&text);
            }
        }
    }
    let end = page.trim_end_matches(' ').len().max(start);
    page.truncate(end);
    page.push('\n');
}

/// The text without its middle, if it is too wide: both ends of an address and its port tell more than one end.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let head = taken(text.chars(), room - room / 2);
    let tail: String = taken(text.chars().rev(), room / 2).chars().rev().collect();
    if width == 0 { String::new() } else { format!("{head}…{tail}") }
}

fn taken(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect()
}

/// The text with a question mark for each control character.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
#[expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const COLUMNS: [Column; 4] = [
        Column { title: "NAME", align: Align::Left, rank: 0, cut: true },
        Column { title: "BYTES", align: Align::Right, rank: 1, cut: false },
        Column { title: "RATE", align: Align::Right, rank: 2, cut: false },
        Column { title: "NOTE", align: Align::Left, rank: 3, cut: false },
    ];

    #[track_caller]
    fn check(width: Option<usize>, want: &Expect) {
        let row = |texts: [&str; 4]| texts.map(str::to_owned).to_vec();
        let rows = [row(["[2001:db8::1234:5678]:443", "1.5 MB", "12/s", "up"]), row(["é\x1b[2J", "7 B", "", ""])];
        want.assert_eq(&render(&COLUMNS, &rows, width));
    }

    #[test]
    fn without_a_width_everything_stands_and_numbers_are_flush_right() {
        check(
            None,
            &expect![[r#"
            NAME                        BYTES  RATE  NOTE
            [2001:db8::1234:5678]:443  1.5 MB  12/s  up
            é?[2J                         7 B
        "#]],
        );
    }

    #[test]
    fn the_least_important_columns_go_first() {
        check(
            Some(40),
            &expect![[r#"
            NAME                        BYTES  RATE
            [2001:db8::1234:5678]:443  1.5 MB  12/s
            é?[2J                         7 B
        "#]],
        );
    }

    #[test]
    fn then_long_texts_lose_their_middle_and_keep_both_ends() {
        check(
            Some(25),
            &expect![[r#"
            NAME                BYTES
            [2001:db…678]:443  1.5 MB
            é?[2J                 7 B
        "#]],
        );
    }

    #[test]
    fn then_the_name_alone_is_left() {
        check(
            Some(9),
            &expect![[r#"
            NAME
            [200…:443
            é?[2J
        "#]],
        );
    }

    #[test]
    fn wide_characters_count_as_two_cells() {
        assert_eq!(cut("網網網網", 5), "網…網");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(cut("abc", 1), "…");
    }
}
