//! What did not arrive: packets the kernel dropped and why, and everything not seen or not kept, by reason, with its
//! meaning. Green when nothing is lost.

use hivewall_view::DropRow;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use super::panes::{Pane, chooser};
use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::LossRow;
use crate::table::Column;
use crate::theme::Theme;
use crate::width::wrap;

/// Lines that the meaning of one loss may take.
const MEANING_LINES_MAX: usize = 3;
/// From this height on, both lists are shown at once.
const BOTH_AT_ONCE: u16 = 28;

/// Draws both lists, or the one that has the cursor.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    if area.height >= BOTH_AT_ONCE {
        let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
        drops(app, paper, upper);
        return losses(app, paper, lower);
    }
    let counts = [(List::KernelDrops, app.rows.drops.len()), (List::Losses, app.rows.happened())];
    let rest = chooser(app, &counts, paper, area);
    if app.list() == List::Losses { losses(app, paper, rest) } else { drops(app, paper, rest) }
}

fn drops(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let packets: u64 = app.rows.drops.iter().map(|row| row.packets).sum();
    let note = if packets == 0 { String::new() } else { format!("{} packets since the start", grouped(packets)) };
    Pane {
        list: List::KernelDrops,
        columns: DROPS,
        rows: &app.rows.drops,
        note: &note,
        empty: "✓ the kernel has dropped nothing since the start",
        style: |_, theme| theme.plain(),
    }
    .draw(app, paper, area);
}

fn losses(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let rows = &app.rows.losses;
    let happened = app.rows.happened();
    let note = if happened == 0 {
        "✓ nothing lost since the start".to_owned()
    } else {
        format!("! {happened} of {} reasons happened", rows.len())
    };
    let meaning = if app.list() == List::Losses { meaning(app, area.width) } else { Vec::new() };
    let wanted = u16::try_from(meaning.len()).unwrap_or(0);
    let gap = u16::from(wanted > 0);
    let [area, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(wanted + gap)]).areas(area);
    parts::lines(std::iter::once(Line::default()).chain(meaning), paper, below);
    Pane {
        list: List::Losses,
        columns: LOSSES,
        rows,
        note: &note,
        empty: "nothing can be lost here",
        style: |row, theme| if row.happened() { theme.plain() } else { theme.dim() },
    }
    .draw(app, paper, area);
}

/// The whole meaning of the selected loss, which the table may have had to cut.
fn meaning(app: &App, columns: u16) -> Vec<Line<'static>> {
    let Some(row) = app.rows.losses.get(app.cursor(List::Losses).selected) else { return Vec::new() };
    let text = format!("{}: {}", row.reason, row.loss.meaning);
    let lines = wrap(&text, usize::from(columns), MEANING_LINES_MAX);
    lines.into_iter().map(|line| Line::styled(line, app.theme.dim())).collect()
}

fn reason(row: &LossRow, theme: Theme, _: u16) -> (String, Style) {
    if row.happened() {
        (format!("! {}", row.reason), theme.bad())
    } else {
        (format!("✓ {}", row.reason), theme.good())
    }
}

fn latest(row: &DropRow) -> String {
    let end = |end: &Option<String>| end.clone().unwrap_or_else(|| "?".to_owned());
    if row.last_source.is_none() && row.last_destination.is_none() {
        return String::new();
    }
    format!("{} → {}", end(&row.last_source), end(&row.last_destination))
}

const DROPS: &[Column<DropRow>] = &[
    Column::text("reason", 99, 18, 36, |row, theme, _| (row.reason.clone(), theme.strong())),
    Column::number("packets", 98, 8, |row, theme, _| (parts::count(row.packets), theme.warn())),
    Column::text("interface", 95, 10, 15, |row, theme, _| {
        (if row.interface.is_empty() { "·" } else { &row.interface }.to_owned(), theme.plain())
    }),
    Column::text("protocol", 94, 9, 12, |row, theme, _| (row.protocol.clone(), theme.plain())),
    Column::address("latest", 80, 20, 97, |row, theme, _| (latest(row), theme.plain())),
];

const LOSSES: &[Column<LossRow>] = &[
    Column::text("reason", 99, 20, 34, reason),
    Column::number("count", 95, 7, |row, theme, _| (parts::count(row.loss.count), theme.strong())),
    Column::number("packets", 80, 8, |row, theme, _| (parts::count(row.loss.packets), theme.plain())),
    Column::number("bytes", 70, 8, |row, theme, _| (parts::bytes(row.loss.bytes), theme.plain())),
    Column::text("meaning", 90, 14, 200, |row, theme, _| (row.loss.meaning.clone(), theme.plain())),
];
