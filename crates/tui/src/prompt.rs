//! The line in which a command to the agent is typed, and the question whether it is meant. Not here: what is done with
//! the answer ([`crate::app`]).
//!
//! Invariant: nothing that changes the agent leaves here without having been confirmed.

use std::net::IpAddr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hivewall_view::policy::{BanRequest, ExplainRequest};
use hivewall_view::units::parse_duration;

use crate::agent::PolicyAction;

/// Most characters a line can have.
const CHARS_MAX: usize = 300;

/// What is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A packet.
    Explain,
    /// A prefix, how long, why.
    Ban,
}

impl Form {
    /// What stands before the text.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Explain => "explain ",
            Self::Ban => "ban ",
        }
    }

    /// How it is typed.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Self::Explain => "FROM TO [PROTOCOL] [PORT] [in|out] · e.g. 10.9.0.4 10.0.0.2 tcp 443",
            Self::Ban => "PREFIX [TIME] [REASON …] · e.g. 192.0.2.0/24 1h scans · without a time it stays until lifted",
        }
    }
}

/// What a key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Still here.
    Stay,
    /// Left without doing anything.
    Leave,
    /// To be done.
    Do(PolicyAction),
}

/// A command on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// Being typed; what is wrong with it once Enter was pressed.
    Typing {
        /// What is typed.
        form: Form,
        /// The text.
        text: String,
        /// What is wrong.
        problem: Option<String>,
    },
    /// Typed, or chosen; waits for yes or no.
    Asking(PolicyAction),
}

impl Prompt {
    /// An empty line, or one that begins with `text`.
    pub(crate) fn typing(form: Form, text: &str) -> Self {
        Self::Typing { form, text: text.to_owned(), problem: None }
    }

    /// One key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Step {
        match self {
            Self::Asking(action) => match key.code {
                KeyCode::Char('y' | 'Y') => Step::Do(action.clone()),
                KeyCode::Char('n' | 'N') | KeyCode::Esc => Step::Leave,
                _ => Step::Stay,
            },
            Self::Typing { form, text, problem } => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Esc => return Step::Leave,
                    KeyCode::Char('u') if control => text.clear(),
                    KeyCode::Backspace => drop(text.pop()),
                    KeyCode::Char(letter) if !control && !letter.is_control() && text.len() < CHARS_MAX => {
                        text.push(letter);
                    }
                    KeyCode::Enter => match read(*form, text) {
                        Ok(action @ PolicyAction::Explain(_)) => return Step::Do(action),
                        Ok(action) => {
                            *self = Self::Asking(action);
                            return Step::Stay;
                        }
                        Err(wrong) => {
                            *problem = Some(wrong);
                            return Step::Stay;
                        }
                    },
                    _ => {}
                }
                *problem = None;
                Step::Stay
            }
        }
    }
}

fn read(form: Form, text: &str) -> Result<PolicyAction, String> {
    let mut words = text.split_whitespace();
    match form {
        Form::Explain => explain(&mut words).map(PolicyAction::Explain),
        Form::Ban => ban(&mut words).map(PolicyAction::Ban),
    }
}

fn explain<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<ExplainRequest, String> {
    let mut address = |what: &str| {
        let text = words.next().ok_or_else(|| format!("{what} is missing"))?;
        text.parse::<IpAddr>().map(|_| text.to_owned()).map_err(|_| format!("`{text}` is not an address"))
    };
    let mut request =
        ExplainRequest { from: address("the source")?, to: address("the destination")?, ..ExplainRequest::default() };
    for word in words {
        if matches!(word, "in" | "out") {
            request.direction = Some(word.to_owned());
        } else if request.protocol.is_some() || word.parse::<u16>().is_ok() {
            let port = word.parse().map_err(|_| format!("`{word}` is not a port"))?;
            request.destination_port = Some(port);
        } else {
            request.protocol = Some(word.to_owned());
        }
    }
    Ok(request)
}

fn ban<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<BanRequest, String> {
    let prefix = words.next().ok_or("the address or prefix is missing")?;
    let address = prefix.split_once('/').map_or(prefix, |(address, _)| address);
    if address.parse::<IpAddr>().is_err() {
        return Err(format!("`{prefix}` is not an address or a prefix"));
    }
    let rest: Vec<&str> = words.collect();
    let (ttl, reason) = match rest.split_first() {
        Some((first, reason)) if parse_duration(first).is_some() => (Some((*first).to_owned()), reason),
        _ => (None, rest.as_slice()),
    };
    let reason = (!reason.is_empty()).then(|| reason.join(" "));
    Ok(BanRequest { prefix: prefix.to_owned(), ttl, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(prompt: &mut Prompt, code: KeyCode) -> Step {
        prompt.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn enter(form: Form, text: &str) -> (Prompt, Step) {
        let mut prompt = Prompt::typing(form, "");
        for letter in text.chars() {
            press(&mut prompt, KeyCode::Char(letter));
        }
        let step = press(&mut prompt, KeyCode::Enter);
        (prompt, step)
    }

    #[test]
    fn a_packet_is_explained_without_further_questions() {
        let (_, step) = enter(Form::Explain, "10.9.0.4 10.0.0.2 udp 53 in");
        let Step::Do(PolicyAction::Explain(request)) = step else { panic!("{step:?}") };
        assert_eq!((request.from.as_str(), request.to.as_str()), ("10.9.0.4", "10.0.0.2"));
        assert_eq!((request.protocol.as_deref(), request.destination_port), (Some("udp"), Some(53)));
        assert_eq!(request.direction.as_deref(), Some("in"));
        let (_, step) = enter(Form::Explain, "10.9.0.4 10.0.0.2 443");
        let Step::Do(PolicyAction::Explain(request)) = step else { panic!("{step:?}") };
        assert_eq!((request.protocol, request.destination_port), (None, Some(443)));
    }

    #[test]
    fn a_ban_is_asked_for_before_it_is_done() {
        let (mut prompt, step) = enter(Form::Ban, "192.0.2.0/24 1h too many scans");
        assert_eq!(step, Step::Stay);
        let Prompt::Asking(PolicyAction::Ban(request)) = &prompt else { panic!("{prompt:?}") };
        assert_eq!((request.ttl.as_deref(), request.reason.as_deref()), (Some("1h"), Some("too many scans")));
        assert_eq!(press(&mut prompt, KeyCode::Enter), Step::Stay, "only y means yes");
        assert!(matches!(press(&mut prompt.clone(), KeyCode::Char('y')), Step::Do(PolicyAction::Ban(_))));
        assert_eq!(press(&mut prompt, KeyCode::Char('n')), Step::Leave);
        let (prompt, _) = enter(Form::Ban, "2001:db8::1");
        assert!(matches!(&prompt, Prompt::Asking(PolicyAction::Ban(ban)) if ban.ttl.is_none() && ban.reason.is_none()));
    }

    #[test]
    fn what_is_wrong_stays_to_be_mended() {
        for (form, text) in
            [(Form::Ban, ""), (Form::Ban, "example.org"), (Form::Explain, "10.0.0.1"), (Form::Explain, "a b")]
        {
            let (mut prompt, step) = enter(form, text);
            assert_eq!(step, Step::Stay);
            assert!(matches!(&prompt, Prompt::Typing { problem: Some(_), .. }), "{text}");
            press(&mut prompt, KeyCode::Backspace);
            assert!(matches!(&prompt, Prompt::Typing { problem: None, .. }));
        }
    }
}
