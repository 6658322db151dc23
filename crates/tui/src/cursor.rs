//! The selected row of a table and the first row on the screen. Not here: the rows.
//!
//! Invariant: with [`Cursor::fit`] applied, the selected row exists (unless there are none) and is on the screen.

use crate::keys::Motion;

/// Selected row and scroll position, both counted from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Selected row.
    pub(crate) selected: usize,
    /// First row on the screen.
    pub(crate) offset: usize,
}

impl Cursor {
    /// The cursor after `motion` in a table of `rows` of which `visible` fit on the screen.
    pub(crate) fn moved(self, motion: Motion, rows: usize, visible: usize) -> Self {
        let page = visible.max(1);
        let selected = match motion {
            Motion::Up => self.selected.saturating_sub(1),
            Motion::Down => self.selected.saturating_add(1),
            Motion::PageUp => self.selected.saturating_sub(page),
            Motion::PageDown => self.selected.saturating_add(page),
            Motion::Home => 0,
            Motion::End => usize::MAX,
        };
        Self { selected, ..self }.fit(rows, visible)
    }

    /// The nearest cursor that fits the table and the screen.
    pub(crate) fn fit(self, rows: usize, visible: usize) -> Self {
        let selected = self.selected.min(rows.saturating_sub(1));
        let lowest = (selected + 1).saturating_sub(visible.max(1));
        let offset = self.offset.clamp(lowest, selected).min(rows.saturating_sub(visible).max(lowest));
        Self { selected, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_row_is_always_on_the_screen() {
        let motions =
            [Motion::Down, Motion::End, Motion::PageUp, Motion::Up, Motion::PageDown, Motion::Home, Motion::PageDown];
        for rows in [0, 1, 5, 100] {
            for visible in [0, 1, 4, 200] {
                let mut cursor = Cursor::default();
                for motion in motions.into_iter().cycle().take(40) {
                    cursor = cursor.moved(motion, rows, visible);
                    assert!(cursor.selected < rows.max(1));
                    assert!(cursor.offset <= cursor.selected && cursor.selected < cursor.offset + visible.max(1));
                }
            }
        }
    }

    #[test]
    fn no_blank_rows_are_shown_below_a_table_that_shrank() {
        let cursor = Cursor { selected: 90, offset: 80 }.fit(50, 20);
        assert_eq!(cursor, Cursor { selected: 49, offset: 30 });
    }
}
