//! Tables that shed columns as the width shrinks, and note where their heads and rows are for the mouse. Not here: which columns there are ([`crate::screens`]).
//!
//! Invariant: a row is never wider than its area; the column with the highest `keep` is always shown, cut to the
//! width if it must be.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::list::List;
use crate::paper::{Paper, Target};
use crate::theme::Theme;
use crate::width::{cut, cut_middle, width};

/// A column that is kept less than this gives way rather than have a text cut.
const NEEDED: u8 = 50;

/// How a text that is too long is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Its end goes.
    End,
    /// Its middle goes: the port at the end of an address matters more than its middle.
    Middle,
}

/// One column of rows of type `R`.
pub(crate) struct Column<R> {
    /// Head.
    pub(crate) title: &'static str,
    /// Narrowest useful width; decides which columns are shown.
    pub(crate) min: u16,
    /// Widest useful width.
    pub(crate) max: u16,
    /// The column with the lowest number is shed first.
    pub(crate) keep: u8,
    /// Numbers stand at the right.
    pub(crate) right: bool,
    /// How a long text is cut.
    pub(crate) cut: Cut,
    /// Bars take what room there is, whatever is in them.
    pub(crate) bar: bool,
    /// Text and style of a cell that is `u16` wide. The style lies over that of the row.
    pub(crate) cell: fn(&R, Theme, u16) -> (String, Style),
}

impl<R> Column<R> {
    /// A column of text, `min` to `max` wide.
    pub(crate) const fn text(title: &'static str, keep: u8, min: u16, max: u16, cell: Cell<R>) -> Self {
        Self { title, min, max, keep, right: false, cut: Cut::End, bar: false, cell }
    }

    /// A column of bars.
    pub(crate) const fn bar(title: &'static str, keep: u8, min: u16, max: u16, cell: Cell<R>) -> Self {
        Self { title, min, max, keep, right: false, cut: Cut::End, bar: true, cell }
    }

    /// A column of numbers of one width.
    pub(crate) const fn number(title: &'static str, keep: u8, wide: u16, cell: Cell<R>) -> Self {
        Self { title, min: wide, max: wide, keep, right: true, cut: Cut::End, bar: false, cell }
    }

    /// A column of addresses: cut in the middle, because the port at the end matters.
    pub(crate) const fn address(title: &'static str, keep: u8, min: u16, max: u16, cell: Cell<R>) -> Self {
        Self { title, min, max, keep, right: false, cut: Cut::Middle, bar: false, cell }
    }
}

/// Text and style of a cell of a width.
pub(crate) type Cell<R> = fn(&R, Theme, u16) -> (String, Style);

/// A table and how to show it.
pub(crate) struct Table<'a, R> {
    /// Every column, left to right.
    pub(crate) columns: &'a [Column<R>],
    /// Every row.
    pub(crate) rows: &'a [R],
    /// First row shown.
    pub(crate) offset: usize,
    /// The selected row.
    pub(crate) selected: Option<usize>,
    /// Head of the column the rows are ordered by, and whether the other way round.
    pub(crate) sorted: Option<(&'static str, bool)>,
    /// The list it shows and the number of its first row there, where it can be clicked; heads that can be.
    pub(crate) list: Option<(List, usize, &'a [&'static str])>,
    /// Style of a whole row.
    pub(crate) row_style: &'a dyn Fn(&R) -> Style,
}

impl<R> Table<'_, R> {
    /// Draws head and rows.
    pub(crate) fn draw(&self, theme: Theme, paper: &mut Paper<'_, '_>, area: Rect) {
        let shown = usize::from(area.height.saturating_sub(1));
        let rows = || self.rows.iter().enumerate().skip(self.offset).take(shown);
        let widest = |column: &Column<R>| {
            if column.bar {
                return usize::from(column.max);
            }
            let cells = rows().map(|(_, row)| width(&(column.cell)(row, theme, column.min).0)).max();
            cells.unwrap_or(0).max(width(column.title))
        };
        let columns = fit(self.columns, area.width, widest);
        let gap = gap(&columns, area.width);
        self.note(&columns, gap, paper, area);
        let mut lines = vec![self.head(theme, &columns, gap)];
        lines.extend(rows().map(|(at, row)| {
            let style = (self.row_style)(row);
            if self.selected == Some(at) {
                // One style for the whole line: colours of cells could not be read on the colour of the cursor.
                let line = line(row, theme, &columns, gap, |_| Style::new());
                line.style(theme.selected())
            } else {
                line(row, theme, &columns, gap, |cell| style.patch(cell))
            }
        }));
        for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
            paper.put(line, Rect { y, height: 1, ..area });
        }
    }

    /// Notes where heads and rows are.
    fn note(&self, columns: &[(&Column<R>, u16)], gap: usize, paper: &mut Paper<'_, '_>, area: Rect) {
        let Some((list, base, heads)) = self.list else { return };
        let shown = usize::from(area.height.saturating_sub(1));
        paper.note_height(list, shown);
        let head = Rect { height: area.height.min(1), ..area };
        let mut x = area.x;
        for (column, wide) in columns {
            if heads.contains(&column.title) {
                let place = Rect { x, width: *wide, ..head };
                paper.note(place.intersection(area), Target::Head(list, column.title));
            }
            x = x.saturating_add(*wide).saturating_add(gap as u16);
        }
        for (at, y) in (0..self.rows.len().saturating_sub(self.offset)).zip(area.y.saturating_add(1)..area.bottom()) {
            paper.note(Rect { y, height: 1, ..area }, Target::Row(list, base + self.offset + at));
        }
    }

    fn head(&self, theme: Theme, columns: &[(&Column<R>, u16)], gap: usize) -> Line<'static> {
        let mut spans = Vec::new();
        for (column, wide) in columns {
            let sorted = self.sorted.filter(|(title, _)| *title == column.title && !title.is_empty());
            let style = if sorted.is_some() { theme.sorted() } else { theme.head() };
            let mark = sorted.map_or("", |(_, reversed)| if reversed { "▴" } else { "▾" });
            let marked = format!("{}{mark}", column.title);
            // The mark must not push the title out: it is underlined as well.
            let title = if width(&marked) <= usize::from(*wide) { &marked } else { column.title };
            push(&mut spans, place(title, *wide, column.right, Cut::End), style, gap);
        }
        Line::from(spans)
    }
}

fn line<R>(
    row: &R,
    theme: Theme,
    columns: &[(&Column<R>, u16)],
    gap: usize,
    style: impl Fn(Style) -> Style,
) -> Line<'static> {
    let mut spans = Vec::new();
    for (column, wide) in columns {
        let (text, cell) = (column.cell)(row, theme, *wide);
        push(&mut spans, place(&text, *wide, column.right, column.cut), style(cell), gap);
    }
    Line::from(spans)
}

fn push(spans: &mut Vec<Span<'static>>, text: String, style: Style, gap: usize) {
    if !spans.is_empty() {
        spans.push(Span::raw(" ".repeat(gap)));
    }
    spans.push(Span::styled(text, style));
}

fn place(text: &str, wide: u16, right: bool, how: Cut) -> String {
    let wide = usize::from(wide);
    let text = match how {
        Cut::End => cut(text, wide),
        Cut::Middle => cut_middle(text, wide),
    };
    let pad = " ".repeat(wide.saturating_sub(width(&text)));
    if right { pad + &text } else { text + &pad }
}

/// The columns that have room, each with its width.
fn fit<R>(columns: &[Column<R>], room: u16, widest: impl Fn(&Column<R>) -> usize) -> Vec<(&Column<R>, u16)> {
    let mut kept: Vec<(&Column<R>, u16)> = columns.iter().map(|column| (column, column.min)).collect();
    while kept.len() > 1 && total(&kept) > room {
        let least = kept.iter().enumerate().min_by_key(|(_, (column, _))| column.keep).map(|(at, _)| at);
        kept.remove(least.unwrap_or(0));
    }
    let wanted = |column: &Column<R>| u16::try_from(widest(column)).unwrap_or(u16::MAX).min(column.max);
    give_way(&mut kept, room, &wanted);
    let mut spare = room.saturating_sub(total(&kept));
    let wants: Vec<u16> = kept.iter().map(|(column, _)| wanted(column)).collect();
    // A column at a time to each in turn, so that two long addresses are cut alike.
    while spare > 0 {
        let before = spare;
        for ((_, wide), want) in kept.iter_mut().zip(&wants) {
            let more = u16::from(*wide < *want && spare > 0);
            *wide += more;
            spare -= more;
        }
        if spare == before {
            break;
        }
    }
    for (_, wide) in &mut kept {
        *wide = (*wide).min(room);
    }
    kept
}

/// Takes out columns that are nice to have until all that is left can be read whole.
fn give_way<R>(kept: &mut Vec<(&Column<R>, u16)>, room: u16, wanted: &impl Fn(&Column<R>) -> u16) {
    loop {
        // Bars take what is left, whatever that is.
        let need = kept
            .iter()
            .map(|(column, least)| usize::from(if column.bar { *least } else { wanted(column).max(*least) }));
        let gaps = kept.len().saturating_sub(1);
        if need.sum::<usize>() + gaps <= usize::from(room) {
            return;
        }
        let luxuries = kept.iter().enumerate().filter(|(_, (column, _))| column.keep < NEEDED);
        let Some((at, _)) = luxuries.min_by_key(|(_, (column, _))| column.keep) else { return };
        kept.remove(at);
    }
}

/// Two blanks between columns where that costs nothing.
fn gap<R>(columns: &[(&Column<R>, u16)], room: u16) -> usize {
    let gaps = columns.len().saturating_sub(1);
    if usize::from(total(columns)) + gaps <= usize::from(room) { 2 } else { 1 }
}

/// Width of `columns` with one blank between each.
fn total<R>(columns: &[(&Column<R>, u16)]) -> u16 {
    let gaps = columns.len().saturating_sub(1);
    let wide: usize = columns.iter().map(|(_, wide)| usize::from(*wide)).sum();
    u16::try_from(wide + gaps).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column<u32>] = &[
        Column::text("name", 90, 4, 20, |row, _, _| (format!("name {row}"), Style::new())),
        Column::number("much", 50, 6, |row, _, _| (row.to_string(), Style::new())),
        Column::number("more", 70, 6, |row, _, _| (row.to_string(), Style::new())),
    ];

    fn titles(room: u16) -> Vec<(&'static str, u16)> {
        fit(COLUMNS, room, |_| 10).into_iter().map(|(column, wide)| (column.title, wide)).collect()
    }

    #[test]
    fn the_least_important_column_goes_first_and_the_last_one_is_cut() {
        assert_eq!(titles(40), [("name", 10), ("much", 6), ("more", 6)]);
        assert_eq!(titles(18), [("name", 4), ("much", 6), ("more", 6)], "both are needed, so the name is cut");
        assert_eq!(titles(17), [("name", 10), ("more", 6)]);
        assert_eq!(titles(10), [("name", 10)]);
        assert_eq!(titles(2), [("name", 2)]);
        assert_eq!(titles(0), [("name", 0)]);
    }

    #[test]
    fn what_is_nice_to_have_gives_way_rather_than_have_a_name_cut() {
        const NICE: &[Column<u32>] = &[
            Column::text("name", 90, 4, 20, |row, _, _| (format!("name {row}"), Style::new())),
            Column::number("nice", 49, 6, |row, _, _| (row.to_string(), Style::new())),
        ];
        let titles = |room| fit(NICE, room, |_| 10).into_iter().map(|(column, _)| column.title).collect::<Vec<_>>();
        assert_eq!(titles(17), ["name", "nice"]);
        assert_eq!(titles(16), ["name"]);
    }

    #[test]
    fn numbers_stand_at_the_right_and_addresses_keep_their_port() {
        assert_eq!(place("12", 4, true, Cut::End), "  12");
        assert_eq!(place("a long name", 6, false, Cut::End), "a lon…");
        assert_eq!(place("2001:db8::1:443", 9, false, Cut::Middle), "2001…:443");
    }
}
