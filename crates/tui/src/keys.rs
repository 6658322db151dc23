//! Keys and what they do: one table that the key handler, the footer and the help screen read. Not here: what a command
//! changes ([`crate::app`]), and the keys of the filter line ([`crate::filter_line`]).
//!
//! Invariant: a key that is not in the table does nothing.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hivewall_view::Sort;

use crate::list::List;
use crate::prompt::Form;
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
    /// Next list of this screen, or the next screen behind the last one.
    NextList,
    /// Previous list of this screen, or the previous screen before the first one.
    PreviousList,
    /// Move the cursor.
    Move(Motion),
    /// Details of the selected flow, or the flows behind the selected row.
    Open,
    /// Close what is open, else clear the filter.
    Close,
    /// Back to where `Open` was pressed, with the filter there was.
    Back,
    /// Edit the filter.
    EditFilter,
    /// Order rows.
    Order(Sort),
    /// Order by the column so many places on.
    StepOrder(isize),
    /// Turn the order around.
    Reverse,
    /// Flows by process, or one by one.
    Group,
    /// Copy the text of the selected row.
    Copy,
    /// Copy the selected row as JSON.
    CopyJson,
    /// Look so many seconds further on, in history.
    Travel(i64),
    /// Let the terminal have the mouse, or take it.
    Mouse,
    /// Type a packet to explain, or a ban.
    Form(Form),
    /// Lift the selected ban.
    Unban,
    /// Say that the selected alert has been seen.
    Acknowledge,
    /// Confirm the change of policy.
    Confirm,
    /// Bring back the policy before.
    Rollback,
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

/// Keys and what they do.
pub(crate) type Keys = &'static [(&'static str, &'static str)];

/// Lines of the help screen that are the same everywhere, in groups.
pub(crate) const HELP: &[(&str, Keys)] = &[
    (
        "Screens",
        &[("1 … 9 0 a f n i", "go to a screen"), ("Tab ⇧Tab", "next, previous screen"), ("→ ←", "next, previous list")],
    ),
    (
        "Rows",
        &[
            ("↑ ↓ k j", "one row"),
            ("PgUp PgDn", "one screen"),
            ("Home End", "first, last"),
            ("y Y", "copy the row as text, as JSON (OSC 52)"),
        ],
    ),
    (
        "Order",
        &[("t p r", "total bytes, packets, rate now"), ("< >", "column before, after"), ("o", "the other way round")],
    ),
    (
        "Filter",
        &[
            ("/", "edit the filter; Tab completes, Enter applies"),
            ("Esc", "close; clear the filter"),
            ("b ⌫", "back, with the filter before"),
        ],
    ),
    (
        "Mouse",
        &[
            ("click", "tab, list, column, row; again: open; right: back"),
            ("wheel", "scroll"),
            ("m", "leave the mouse to the terminal"),
        ],
    ),
    (
        "Policy",
        &[
            ("e", "explain what becomes of a packet"),
            ("x u", "ban an address, lift a ban or undo a response"),
            ("v", "alert has been seen"),
            ("c R", "confirm a change, bring back the policy before"),
        ],
    ),
    (
        "View",
        &[("space", "pause, go on"), ("+ -", "longer, shorter interval"), ("? h", "this help"), ("q Ctrl-C", "quit")],
    ),
];

/// What is particular to a screen, for its footer and the top of its help.
pub(crate) fn here(tab: Tab, list: List, travelling: bool) -> Keys {
    match tab {
        Tab::Flows if list == List::Groups => {
            &[("Enter", "its flows"), ("g", "one by one"), ("t p r", "order"), ("< > o", "any column"), ("y", "copy")]
        }
        Tab::Overview => &[("1 … 0 a f n i Tab", "screens"), ("click", "goes there"), ("/", "filter flows")],
        Tab::Flows if travelling => &[
            ("[ ]", "a minute earlier, later"),
            ("{ }", "an hour"),
            ("/", "filter"),
            ("g", "group"),
            ("Enter", "details"),
        ],
        Tab::Flows => &[
            ("/", "filter"),
            ("Enter", "details"),
            ("g", "by process"),
            ("t p r s l d", "order"),
            ("b", "back"),
            ("y", "copy"),
        ],
        Tab::Processes | Tab::Talkers => {
            &[("Enter", "its flows"), ("t p r", "order"), ("< > o", "any column, reversed"), ("y", "copy")]
        }
        Tab::Names => &[("→ ←", "lists"), ("Enter", "its flows"), ("< > o", "order"), ("y", "copy")],
        Tab::Protocols | Tab::Sockets => {
            &[("→ ←", "lists"), ("Enter", "its flows"), ("t p r < >", "order"), ("y", "copy")]
        }
        Tab::Interfaces | Tab::Latency => &[("Enter", "its flows"), ("< > o", "order"), ("y", "copy")],
        Tab::Drops => &[("→ ←", "lists"), ("Enter", "flows of the latest"), ("< > o", "order"), ("y", "copy")],
        Tab::Alerts => {
            &[("Enter", "its flows"), ("v", "seen"), ("u", "undo"), ("x", "ban"), ("< > o", "order"), ("y Y", "copy")]
        }
        Tab::Policy => &[
            ("→ ←", "lists"),
            ("e", "explain"),
            ("x u", "ban, lift"),
            ("c", "confirm"),
            ("R", "roll back"),
            ("Enter", "its flows"),
            ("< > o", "order"),
        ],
        Tab::Fleet => &[("→ ←", "lists"), ("Enter", "its flows here"), ("< > o", "order"), ("y", "copy")],
        Tab::Own => &[("↑↓", "scroll")],
    }
}

/// What `key` asks for outside the filter line.
pub(crate) fn command(key: KeyEvent) -> Option<Command> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return control(key.code);
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    Some(match key.code {
        KeyCode::Esc => Command::Close,
        KeyCode::Enter => Command::Open,
        KeyCode::Backspace => Command::Back,
        KeyCode::Tab => Command::NextTab,
        KeyCode::BackTab => Command::PreviousTab,
        KeyCode::Right => Command::NextList,
        KeyCode::Left => Command::PreviousList,
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
        // What some terminals send for Backspace.
        KeyCode::Char('h') => Some(Command::Back),
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
        '/' => Command::EditFilter,
        'b' => Command::Back,
        't' => Command::Order(Sort::Bytes),
        'p' => Command::Order(Sort::Packets),
        'r' => Command::Order(Sort::Rate),
        's' => Command::Order(Sort::Start),
        'l' => Command::Order(Sort::Last),
        'd' => Command::Order(Sort::Duration),
        '<' | ',' => Command::StepOrder(-1),
        '>' | '.' => Command::StepOrder(1),
        'o' => Command::Reverse,
        'g' => Command::Group,
        'y' => Command::Copy,
        'Y' => Command::CopyJson,
        '[' => Command::Travel(-60),
        ']' => Command::Travel(60),
        '{' => Command::Travel(-3600),
        '}' => Command::Travel(3600),
        'm' => Command::Mouse,
        'e' => Command::Form(Form::Explain),
        'x' => Command::Form(Form::Ban),
        'u' => Command::Unban,
        'v' => Command::Acknowledge,
        'c' => Command::Confirm,
        'R' => Command::Rollback,
        key => Command::Show(Tab::from_key(key)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_a_screen_is_taken_by_another_command() {
        for tab in Tab::ALL {
            assert_eq!(character(tab.key()), Some(Command::Show(tab)), "{}", tab.key());
        }
    }
}
