//! Lists as parts of a screen: one with the cursor in it, several side by side where there is room, else one at a time
//! under a line of their titles. Not here: which columns they have.

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::list::List;
use crate::paper::{Paper, Target};
use crate::table::{Column, Table};
use crate::theme::Theme;
use crate::width::width;

/// What a list shows.
pub(super) struct Pane<'a, R> {
    /// The list.
    pub(super) list: List,
    /// Its columns.
    pub(super) columns: &'a [Column<R>],
    /// Its rows.
    pub(super) rows: &'a [R],
    /// What to say at the right of its title.
    pub(super) note: &'a str,
    /// What to say when there is nothing.
    pub(super) empty: &'a str,
    /// Style of a row.
    pub(super) style: fn(&R, Theme) -> Style,
}

impl<R> Pane<'_, R> {
    /// Draws title and table.
    pub(super) fn draw(&self, app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
        paper.note(area, Target::List(self.list));
        let several = app.tab.lists().len() > 1;
        let marked = several && app.list() == self.list;
        let inner = parts::marked_section(app, self.list.title(), self.note, marked, paper, area);
        if self.rows.is_empty() {
            return parts::hint(app, self.empty, paper, inner);
        }
        self.table(app, paper, inner);
    }

    fn table(&self, app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
        let cursor = app.cursor(self.list).fit(self.rows.len(), usize::from(area.height.saturating_sub(1)));
        let order = app.orders.of(self.list);
        let theme = app.theme;
        Table {
            columns: self.columns,
            rows: self.rows,
            offset: cursor.offset,
            selected: (app.list() == self.list).then_some(cursor.selected),
            sorted: Some((order.column, order.reversed)),
            list: Some((self.list, 0, self.list.orders())),
            row_style: &|row| (self.style)(row, theme),
        }
        .draw(theme, paper, area);
    }
}

/// The line of titles from which one list is chosen; gives back the rest of the area.
pub(super) fn chooser(app: &App, counts: &[(List, usize)], paper: &mut Paper<'_, '_>, area: Rect) -> Rect {
    let [line, rest] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let text = |list: List, count: usize, short: bool| {
        let title = if short { list.short_title() } else { list.title() };
        format!(" {title} {} ", grouped(count as u64))
    };
    let whole: usize = counts.iter().map(|(list, count)| width(&text(*list, *count, false))).sum();
    let short = whole > usize::from(line.width);
    let mut spans = Vec::new();
    let mut x = line.x;
    for (list, count) in counts {
        let open = app.list() == *list;
        let text = text(*list, *count, short);
        let wide = width(&text) as u16;
        let place = Rect { x, width: wide, ..line };
        paper.note(place.intersection(line), Target::List(*list));
        x = x.saturating_add(wide);
        spans.push(Span::styled(text, if open { app.theme.chosen() } else { app.theme.dim() }));
    }
    paper.put(Line::from(spans), line);
    rest
}
