//! Commands to the policy: typed or chosen on its screen, confirmed, sent with the next request, answered with a notice
//! or an explanation. Not here: the line they are typed in ([`crate::prompt`]).
//!
//! Invariant: one command is on its way at a time; what is not answered is never sent twice.

use crossterm::event::KeyEvent;
use hivewall_view::alerts::Alert;
use hivewall_view::policy::UnbanRequest;

use super::{App, Effect, Overlay};
use crate::agent::{PolicyAction, PolicyReply, Request};
use crate::list::List;
use crate::prompt::{Form, Prompt, Step};
use crate::tab::Tab;

impl App {
    /// Opens the line for a packet or a ban. A ban of what is selected begins with its address.
    pub(super) fn begin_form(&mut self, form: Form) {
        let selected = match (form, self.list()) {
            (Form::Ban, List::Talkers) => self.selected_id(List::Talkers),
            (Form::Ban, List::Alerts) => self.selected_alert().and_then(|alert| alert.source.clone()),
            (Form::Ban, List::Flows) => self.selected_flow().map(|flow| flow.source_ip.clone()),
            _ => None,
        };
        let text = selected.map_or_else(String::new, |address| format!("{address} "));
        self.prompt = Some(Prompt::typing(form, &text));
    }

    /// The alert under the cursor of its screen.
    fn selected_alert(&self) -> Option<&Alert> {
        let row = self.rows.alerts.get(self.cursor(List::Alerts).selected).filter(|_| self.tab == Tab::Alerts)?;
        Some(&row.0)
    }

    /// Asks whether the alert under the cursor has been seen.
    pub(super) fn begin_acknowledge(&mut self) {
        match self.selected_alert().map(|alert| alert.id.clone()) {
            Some(id) => self.prompt = Some(Prompt::Asking(PolicyAction::Acknowledge { id })),
            None => self.say("choose an alert on their screen first: a", true),
        }
    }

    /// Asks whether the ban under the cursor is to be lifted, or what was done about the alert there.
    pub(super) fn begin_unban(&mut self) {
        if self.tab == Tab::Alerts {
            let acted =
                self.selected_alert().filter(|alert| alert.response.as_ref().is_some_and(|r| r.outcome == "done"));
            return match acted.map(|alert| alert.id.clone()) {
                Some(id) => self.prompt = Some(Prompt::Asking(PolicyAction::Undo { id })),
                None => self.say("nothing was done about this alert by itself", true),
            };
        }
        match self.selected_id(List::Bans).filter(|_| self.tab == Tab::Policy && self.list() == List::Bans) {
            Some(prefix) => self.prompt = Some(Prompt::Asking(PolicyAction::Unban(UnbanRequest { prefix }))),
            None => self.say("choose a ban on the policy's screen first (f, then →)", true),
        }
    }

    /// Asks whether the change is to be confirmed, or taken back.
    pub(super) fn begin_command(&mut self, action: PolicyAction) {
        if self.tab != Tab::Policy {
            return self.say("that is a command of the policy's screen: f", true);
        }
        let policy = self.snapshot.as_deref().map(|snapshot| &snapshot.firewall_rules);
        let possible = match action {
            PolicyAction::Confirm => policy.is_some_and(|policy| policy.pending.is_some()),
            _ => policy.is_some_and(hivewall_view::policy::PolicyView::is_in_force),
        };
        if possible {
            self.prompt = Some(Prompt::Asking(action));
        } else if action == PolicyAction::Confirm {
            self.say("no change waits to be confirmed", true);
        } else {
            self.say("no policy is in force", true);
        }
    }

    fn selected_id(&self, list: List) -> Option<String> {
        let items = self.rows.items(list);
        items.get(self.cursor(list).selected).filter(|item| !item.is_rest()).map(|item| item.id())
    }

    pub(super) fn type_prompt(&mut self, key: KeyEvent) -> Effect {
        match self.prompt.as_mut().map(|prompt| prompt.key(key)) {
            Some(Step::Do(action)) => {
                self.prompt = None;
                self.action = Some(action);
                self.ask_action()
            }
            Some(Step::Leave) => {
                self.prompt = None;
                Effect::None
            }
            Some(Step::Stay) | None => Effect::None,
        }
    }

    /// Sends the command that waits, as soon as nothing else is out; what it changed is looked at with it.
    pub(super) fn ask_action(&mut self) -> Effect {
        if self.link.asked.is_some() || self.action.is_none() {
            return Effect::None;
        }
        self.link.asked = Some(self.now);
        Effect::Ask(Request { action: self.action.take(), snapshot: true, fleet: false, flows: None })
    }

    pub(super) fn take_reply(&mut self, reply: Result<PolicyReply, String>) {
        match reply {
            Ok(PolicyReply::Done(outcome)) => self.say(outcome.message, false),
            Ok(PolicyReply::Told(message)) => self.say(message, false),
            Ok(PolicyReply::Explained(explanation)) => {
                self.overlay = Overlay::Explained { explanation, scroll: 0 };
            }
            Err(error) => self.say(error, true),
        }
    }
}
