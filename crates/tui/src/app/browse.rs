//! Cursors, orders, and where a row leads: to details, to the flows behind it, to the clipboard; by key or by mouse.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use hivewall_view::{FlowRow, Sort};

use super::{App, Effect, Overlay, Place};
use crate::check::check;
use crate::copy::COPY_BYTES_MAX;
use crate::cursor::Cursor;
use crate::keys::Motion;
use crate::list::List;
use crate::paper::Target;
use crate::rows::Item;
use crate::screens::{OVERLAY_LINES_MAX, flow_head, flow_sort};
use crate::tab::Tab;
use crate::width::cut;

/// Steps back that are remembered.
const TRAIL_MAX: usize = 32;
/// Rows that one notch of the wheel moves.
const WHEEL_ROWS: usize = 3;
/// Lines that are not rows on a screen with a table, until one has been drawn.
const CHROME_LINES: u16 = 5;
/// Columns of what was copied that are shown.
const SHOWN_COLUMNS: usize = 40;

impl App {
    /// The list that has the cursor.
    pub(crate) fn list(&self) -> List {
        if self.tab == Tab::Flows && self.grouped {
            return List::Groups;
        }
        let at = self.focus.get(self.tab.index()).copied().unwrap_or(0);
        self.tab.lists().get(at).copied().unwrap_or(List::Page)
    }

    /// The cursor of `list`.
    pub(crate) fn cursor(&self, list: List) -> Cursor {
        self.cursors.get(list.index()).copied().unwrap_or_default()
    }

    /// Puts the cursor into a list of the screen shown.
    pub(super) fn focus(&mut self, list: List) {
        let place = self.tab.lists().iter().position(|other| *other == list);
        if let (Some(place), Some(focus)) = (place, self.focus.get_mut(self.tab.index())) {
            *focus = place;
        }
    }

    /// To the next or the previous list, and on to the next screen behind the last one.
    pub(super) fn turn_list(&mut self, onwards: bool) -> Effect {
        let lists = self.tab.lists();
        let at = lists.iter().position(|list| *list == self.list()).unwrap_or(0);
        let next = if onwards { Some(at + 1) } else { at.checked_sub(1) };
        if self.overlay == Overlay::None
            && let Some(list) = next.and_then(|next| lists.get(next))
        {
            self.focus(*list);
            return Effect::None;
        }
        let effect = self.show(self.tab.turn(if onwards { 1 } else { Tab::ALL.len() - 1 }));
        let lists = self.tab.lists();
        if let Some(list) = if onwards { lists.first() } else { lists.last() } {
            self.focus(*list);
        }
        effect
    }

    fn items(&self, list: List) -> Vec<&dyn Item> {
        if list == List::Flows {
            let flows = self.page.as_ref().map_or(&[][..], |page| &page.flows);
            return flows.iter().map(|flow| flow as &dyn Item).collect();
        }
        self.rows.items(list)
    }

    fn row_count(&self, list: List) -> usize {
        match list {
            List::Page => self.scroll_rows(),
            List::Flows => self.page.as_ref().map_or(0, |page| page.flows.len()),
            _ => self.items(list).len(),
        }
    }

    /// Places to scroll to: what is drawn tells how many lines there are; until then, more than there can be.
    fn scroll_rows(&self) -> usize {
        self.spots.last_line().unwrap_or(OVERLAY_LINES_MAX) + 1
    }

    fn visible_rows(&self, list: List) -> usize {
        self.spots.visible(list).unwrap_or_else(|| usize::from(self.lines.saturating_sub(CHROME_LINES)))
    }

    pub(super) fn selected_flow(&self) -> Option<&FlowRow> {
        self.page.as_ref()?.flows.get(self.cursor(List::Flows).selected)
    }

    /// Puts the cursor of `list` back on its first row.
    pub(super) fn rest_cursor(&mut self, list: List) {
        self.set_cursor(list, Cursor::default());
        if let Some(followed) = self.followed.get_mut(list.index()) {
            *followed = None;
        }
    }

    fn set_cursor(&mut self, list: List, cursor: Cursor) {
        if let Some(slot) = self.cursors.get_mut(list.index()) {
            *slot = cursor;
        }
    }

    /// Moves what is in front: the overlay, else the cursor of the list that has it.
    pub(super) fn move_cursor(&mut self, motion: Motion) {
        let rows = self.scroll_rows();
        let visible = usize::from(self.lines.saturating_sub(CHROME_LINES));
        if let Overlay::Details { scroll, .. } | Overlay::Explained { scroll, .. } | Overlay::Help { scroll } =
            &mut self.overlay
        {
            let cursor = Cursor { selected: *scroll, offset: *scroll };
            *scroll = cursor.moved(motion, rows, visible).selected;
            return;
        }
        self.move_in(self.list(), motion);
    }

    fn move_in(&mut self, list: List, motion: Motion) {
        let cursor = self.cursor(list).moved(motion, self.row_count(list), self.visible_rows(list));
        self.set_cursor(list, cursor);
        self.hold(list);
    }

    /// Remembers the row under the cursor, to stay on it when the order changes; the first row is a place of its own.
    fn hold(&mut self, list: List) {
        let selected = self.cursor(list).selected;
        let row = self.items(list).get(selected).filter(|_| selected > 0).map(|item| item.id());
        if let Some(followed) = self.followed.get_mut(list.index()) {
            *followed = row;
        }
    }

    /// Puts the cursor back on the row it was on, wherever the new order has it.
    pub(super) fn follow(&mut self, list: List) {
        let items = self.items(list);
        let followed = self.followed.get(list.index()).and_then(Option::as_ref);
        let place = followed.and_then(|id| items.iter().position(|item| item.id() == *id));
        let rows = items.len();
        let mut cursor = self.cursor(list);
        cursor.selected = place.unwrap_or(cursor.selected);
        self.set_cursor(list, cursor.fit(rows, self.visible_rows(list)));
    }

    pub(super) fn order(&mut self, sort: Sort) -> Effect {
        let list = self.list();
        if list == List::Flows {
            let changed = self.sort != sort;
            self.sort = sort;
            return if changed { self.ask_flows() } else { Effect::None };
        }
        let heads: &[&str] = match sort {
            Sort::Bytes => &["total", "bytes"],
            Sort::Packets => &["packets"],
            Sort::Rate => &["rate"],
            Sort::Start | Sort::Last | Sort::Duration => &[],
        };
        for head in heads {
            if self.orders.choose(list, head, false) {
                self.reorder(list);
            }
        }
        Effect::None
    }

    pub(super) fn step_order(&mut self, step: isize) -> Effect {
        let list = self.list();
        if list == List::Flows {
            let at = Sort::ALL.iter().position(|(sort, _)| *sort == self.sort).unwrap_or(0);
            let next = (at as isize + step).rem_euclid(Sort::ALL.len() as isize);
            return Sort::ALL.get(next as usize).map_or(Effect::None, |(sort, _)| self.order(*sort));
        }
        if self.orders.step(list, step) {
            self.reorder(list);
        }
        Effect::None
    }

    pub(super) fn reverse(&mut self) {
        let list = self.list();
        if list == List::Flows {
            self.say(format!("flows come greatest first by {}; < > choose another column", flow_head(self.sort)), true);
        } else if self.orders.choose(list, self.orders.of(list).column, true) {
            self.reorder(list);
        }
    }

    fn reorder(&mut self, list: List) {
        self.rows.order(list, self.orders.of(list));
        self.follow(list);
    }

    pub(super) fn group(&mut self) -> Effect {
        self.grouped = self.tab != Tab::Flows || !self.grouped;
        self.show(Tab::Flows)
    }

    /// Shows what is behind the selected row.
    pub(super) fn open(&mut self) -> Effect {
        if self.overlay != Overlay::None {
            self.overlay = Overlay::None;
            return Effect::None;
        }
        let list = self.list();
        if list == List::Flows {
            if let Some(row) = self.selected_flow() {
                self.overlay = Overlay::Details { row: Box::new(row.clone()), scroll: 0, listed: true };
            }
            return Effect::None;
        }
        let filter = self.items(list).get(self.cursor(list).selected).map(|item| item.filter());
        match filter {
            Some(Some(filter)) => self.lead_to(filter),
            Some(None) => {
                self.say("no flows can be told apart by this row", true);
                Effect::None
            }
            None => Effect::None,
        }
    }

    fn lead_to(&mut self, filter: String) -> Effect {
        if let Err(problem) = check(&filter) {
            self.say(format!("flows cannot be asked for by `{filter}`: {}", problem.message), true);
            return Effect::None;
        }
        if self.trail.len() == TRAIL_MAX {
            self.trail.remove(0);
        }
        self.trail.push(Place { tab: self.tab, filter: self.filter.clone(), grouped: self.grouped });
        self.go_to(Place { tab: Tab::Flows, filter, grouped: false })
    }

    fn go_to(&mut self, place: Place) -> Effect {
        if self.filter != place.filter {
            self.rest_cursor(List::Flows);
            self.rest_cursor(List::Groups);
        }
        (self.tab, self.filter, self.grouped) = (place.tab, place.filter, place.grouped);
        self.overlay = Overlay::None;
        if self.tab == Tab::Flows { self.ask_flows() } else { Effect::None }
    }

    pub(super) fn back(&mut self) -> Effect {
        if self.overlay != Overlay::None {
            self.overlay = Overlay::None;
            return Effect::None;
        }
        let Some(place) = self.trail.pop() else {
            self.say("nowhere to go back to", false);
            return Effect::None;
        };
        self.go_to(place)
    }

    /// Copies the flow that is open, else the selected row.
    pub(super) fn copy(&mut self, json: bool) -> Effect {
        let list = self.list();
        let items = self.items(list);
        let item: Option<&dyn Item> = match &self.overlay {
            Overlay::Details { row, .. } => Some(row.as_ref()),
            _ => items.get(self.cursor(list).selected).copied(),
        };
        let Some(item) = item else {
            self.say("nothing is selected", true);
            return Effect::None;
        };
        let text = if json { format!("{:#}", item.json()) } else { item.text() };
        if text.len() > COPY_BYTES_MAX {
            self.say("too long for the clipboard of a terminal", true);
            return Effect::None;
        }
        let what = if json { "the row as JSON".to_owned() } else { cut(&text, SHOWN_COLUMNS) };
        self.say(format!("copied {what} (OSC 52, where the terminal allows it)"), false);
        Effect::Copy(text)
    }

    /// A button of the mouse, or its wheel.
    pub(super) fn pointed(&mut self, mouse: MouseEvent) -> Effect {
        let target = self.spots.at(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::ScrollUp => self.wheel(target, Motion::Up),
            MouseEventKind::ScrollDown => self.wheel(target, Motion::Down),
            MouseEventKind::Down(MouseButton::Left) if self.editing.is_none() && self.prompt.is_none() => {
                return self.click(target);
            }
            MouseEventKind::Down(MouseButton::Right) if self.editing.is_none() && self.prompt.is_none() => {
                return self.back();
            }
            _ => {}
        }
        Effect::None
    }

    /// Turns the list under the pointer, which need not be the one that has the cursor.
    fn wheel(&mut self, target: Option<Target>, motion: Motion) {
        for _ in 0..WHEEL_ROWS {
            match (&self.overlay, target) {
                (Overlay::None, Some(Target::List(list) | Target::Row(list, _) | Target::Head(list, _))) => {
                    self.move_in(list, motion);
                }
                _ => self.move_cursor(motion),
            }
        }
    }

    fn click(&mut self, target: Option<Target>) -> Effect {
        match target {
            Some(Target::Tab(tab)) => self.show(tab),
            // What lies under an overlay is not drawn, so that only tabs are left to click there.
            None => Effect::None,
            Some(Target::List(list)) => {
                self.focus(list);
                Effect::None
            }
            Some(Target::Row(list, at)) => {
                let again = self.list() == list && self.cursor(list).selected == at;
                self.focus(list);
                if again {
                    return self.open();
                }
                let cursor = Cursor { selected: at, ..self.cursor(list) };
                self.set_cursor(list, cursor.fit(self.row_count(list), self.visible_rows(list)));
                self.hold(list);
                Effect::None
            }
            Some(Target::Head(list, head)) => self.click_head(list, head),
        }
    }

    fn click_head(&mut self, list: List, head: &str) -> Effect {
        self.focus(list);
        if list == List::Flows {
            return flow_sort(head).map_or(Effect::None, |sort| self.order(sort));
        }
        if self.orders.choose(list, head, true) {
            self.reorder(list);
        }
        Effect::None
    }
}

#[cfg(test)]
mod tests;
