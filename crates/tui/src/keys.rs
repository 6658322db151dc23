//! Keys and what they do: one table that the key handler and the help screen both read. Not here: what a command
//! changes ([`crate::app`]), and the keys of the filter line ([`crate::filter_line`]).
//!
//! Invariant: a key that is not in the table does nothing.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hivewall_view::Sort;

use crate::tab::Tab;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Leave.
    Quit,
    /// Open or close the help.
    Help,
    /// Freeze or go on.
    Pause,
    /// Ask less often.
    Slower,
    /// Ask more often.
    Faster,
    /// Go to a screen.
    Show(Tab),
    /// Next screen.
    NextTab,
    /// Previous screen.
    PreviousTab,
    /// Move the cursor.
    Move(Motion),
    /// Details of the selected row.
    Open,
    /// Close what is open, else clear the filter.
    Back,
    /// Edit the filter.
    EditFilter,
    /// Order rows.
    Order(Sort),
}

/// Cursor movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Motion {
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// First row.
    Home,
    /// Last row.
    End,
}

/// Lines of the help screen: keys and what they do, in groups.
pub(crate) const HELP: &[(&str, &[(&str, &str)])] = &[
    ("Screens", &[("1 … 6", "go to a screen"), ("Tab ⇧Tab ← →", "next, previous screen")]),
    (
        "Rows",
        &[
            ("↑ ↓ k j", "one row"),
            ("PgUp PgDn", "one screen"),
            ("Home End", "first, last"),
            ("Enter", "every field of the selected flow"),
        ],
    ),
    ("Order", &[("b p r", "bytes, packets, rate now"), ("s l d", "start, last packet, duration")]),
    ("Filter", &[("/", "edit the filter; Enter applies it"), ("Esc", "close what is open; clear the filter")]),
    (
        "View",
        &[("space", "pause, go on"), ("+ -", "longer, shorter interval"), ("? h", "this help"), ("q Ctrl-C", "quit")],
    ),
];

/// What `key` asks for outside the filter line.
pub(crate) fn command(key: KeyEvent) -> Option<Command> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return control(key.code);
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    Some(match key.code {
        KeyCode::Esc => Command::Back,
        KeyCode::Enter => Command::Open,
        KeyCode::Tab | KeyCode::Right => Command::NextTab,
        KeyCode::BackTab | KeyCode::Left => Command::PreviousTab,
        KeyCode::Up => Command::Move(Motion::Up),
        KeyCode::Down => Command::Move(Motion::Down),
        KeyCode::PageUp => Command::Move(Motion::PageUp),
        KeyCode::PageDown => Command::Move(Motion::PageDown),
        KeyCode::Home => Command::Move(Motion::Home),
        KeyCode::End => Command::Move(Motion::End),
        KeyCode::Char(letter) => return character(letter),
        _ => return None,
    })
}

/// Whether `key` leaves at once wherever the cursor is, even in the filter line.
pub(crate) fn interrupts(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c')
}

fn control(code: KeyCode) -> Option<Command> {
    match code {
        KeyCode::Char('c') => Some(Command::Quit),
        KeyCode::Char('b') => Some(Command::Move(Motion::PageUp)),
        KeyCode::Char('f') => Some(Command::Move(Motion::PageDown)),
        _ => None,
    }
}

fn character(letter: char) -> Option<Command> {
    Some(match letter {
        'q' => Command::Quit,
        '?' | 'h' => Command::Help,
        ' ' => Command::Pause,
        '+' | '=' => Command::Slower,
        '-' | '_' => Command::Faster,
        'k' => Command::Move(Motion::Up),
        'j' => Command::Move(Motion::Down),
        'g' => Command::Move(Motion::Home),
        'G' => Command::Move(Motion::End),
        '/' => Command::EditFilter,
        'b' => Command::Order(Sort::Bytes),
        'p' => Command::Order(Sort::Packets),
        'r' => Command::Order(Sort::Rate),
        's' => Command::Order(Sort::Start),
        'l' => Command::Order(Sort::Last),
        'd' => Command::Order(Sort::Duration),
        digit => Command::Show(Tab::from_digit(digit)?),
    })
}
