//! What a screen is drawn on: the frame, and a note of what lies where, so that a click finds what the eye saw. Not
//! here: what a click does ([`crate::app`]).
//!
//! Invariant: a place is noted by whoever draws it and at no other time, so both are from the same picture.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::widgets::Widget;

use crate::list::List;
use crate::tab::Tab;

/// What lies at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The tab of a screen, or a part of the overview that stands for it.
    Tab(Tab),
    /// A list that can have the cursor.
    List(List),
    /// A row of a list.
    Row(List, usize),
    /// The head of a column.
    Head(List, &'static str),
}

/// Where what lies, from the latest drawing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spots {
    areas: Vec<(Rect, Target)>,
    heights: Vec<(List, usize)>,
    last_line: Option<usize>,
}

impl Spots {
    /// What lies at a place: that which was drawn last, where several do.
    pub(crate) fn at(&self, column: u16, line: u16) -> Option<Target> {
        let place = Position::new(column, line);
        self.areas.iter().rev().find(|(area, _)| area.contains(place)).map(|(_, target)| *target)
    }

    /// Rows of `list` that fit on the screen, where it is there.
    pub(crate) fn visible(&self, list: List) -> Option<usize> {
        self.heights.iter().find(|(known, _)| *known == list).map(|(_, rows)| *rows)
    }

    /// How far what has no rows but lines can be scrolled, where such a thing was drawn.
    pub(crate) fn last_line(&self) -> Option<usize> {
        self.last_line
    }

    /// Every place, for tests.
    #[cfg(test)]
    pub(crate) fn areas(&self) -> &[(Rect, Target)] {
        &self.areas
    }
}

/// A frame and the notes about it.
pub(crate) struct Paper<'a, 'b> {
    frame: &'a mut Frame<'b>,
    spots: Spots,
}

impl<'a, 'b> Paper<'a, 'b> {
    /// Empty notes on `frame`.
    pub(crate) fn new(frame: &'a mut Frame<'b>) -> Self {
        Self { frame, spots: Spots::default() }
    }

    /// Draws.
    pub(crate) fn put<W: Widget>(&mut self, widget: W, area: Rect) {
        self.frame.render_widget(widget, area);
    }

    /// The frame, for what is no widget.
    pub(crate) fn frame(&mut self) -> &mut Frame<'b> {
        self.frame
    }

    /// Notes what lies in `area`.
    pub(crate) fn note(&mut self, area: Rect, target: Target) {
        if !area.is_empty() {
            self.spots.areas.push((area, target));
        }
    }

    /// Notes how many rows of `list` fit.
    pub(crate) fn note_height(&mut self, list: List, rows: usize) {
        self.spots.heights.push((list, rows));
    }

    /// Notes how far lines can be scrolled; of several columns that scroll together, the longest counts.
    pub(crate) fn note_last_line(&mut self, line: usize) {
        self.spots.last_line = self.spots.last_line.max(Some(line));
    }

    /// The notes.
    pub(crate) fn into_spots(self) -> Spots {
        self.spots
    }
}
