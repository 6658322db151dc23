//! Names and times from copied payload: the parsers at work for the pipeline, and what they refuse as losses.
//!
//! In an agent that gives up privileges they work on a thread of their own, which has nothing but memory: whatever hostile
//! bytes make of them can reach nothing. The pipeline waits for each batch, so that what is found is the same either way.
//! Invariant: a copy is read, or counted as not read.

use std::sync::mpsc::{Receiver, Sender, channel};

use hivewall_host::privileges::Confinement;
use hivewall_host::source::Peeks;
use hivewall_model::{Finding, Timestamp};
use hivewall_names::{Counter, Limits, Names};
use hivewall_view::Loss;

/// The parsers and what they found in the latest batch.
pub(crate) struct Reader {
    place: Place,
    findings: Vec<Finding>,
    counters: Vec<Counter>,
    peeks: u64,
    /// Copies that nobody could read any more.
    unread: u64,
}

enum Place {
    Here(Box<Names>),
    Apart(Apart),
    /// The thread has failed.
    Nowhere,
}

struct Apart {
    asks: Sender<Ask>,
    answers: Receiver<Answer>,
}

enum Ask {
    Read(Peeks, Vec<Finding>),
    Tick(Timestamp),
}

enum Answer {
    Found(Peeks, Vec<Finding>),
    Counted(Vec<Counter>),
}

fn read(names: &mut Names, peeks: &Peeks, findings: &mut Vec<Finding>) {
    for (time, head, payload) in peeks.iter() {
        names.take(time, head, payload, findings);
    }
}

impl Reader {
    /// On the caller's thread. Nothing has been read yet.
    pub(crate) fn new() -> Self {
        Self::at(Place::Here(Box::new(Names::new(Limits::default()))))
    }

    /// On a thread that is confined so.
    pub(crate) fn apart(confinement: Confinement) -> std::io::Result<Self> {
        let (asks, asked) = channel();
        let (answer, answers) = channel();
        std::thread::Builder::new().name("names".to_owned()).spawn(move || {
            for gap in confinement.here() {
                tracing::debug!(%gap, "not given up");
            }
            work(&asked, &answer);
        })?;
        Ok(Self::at(Place::Apart(Apart { asks, answers })))
    }

    fn at(place: Place) -> Self {
        Self { place, findings: Vec::new(), counters: Vec::new(), peeks: 0, unread: 0 }
    }

    /// Reads copies in the order they were made.
    pub(crate) fn read(&mut self, peeks: &mut Peeks) -> &[Finding] {
        self.findings.clear();
        let count = peeks.len() as u64;
        self.peeks += count;
        match &mut self.place {
            Place::Here(names) => read(names, peeks, &mut self.findings),
            Place::Apart(apart) => {
                match apart.ask(Ask::Read(std::mem::take(peeks), std::mem::take(&mut self.findings))) {
                    Some(Answer::Found(back, findings)) => (*peeks, self.findings) = (back, findings),
                    _ => self.fail(count),
                }
            }
            Place::Nowhere => self.unread += count,
        }
        &self.findings
    }

    fn fail(&mut self, unread: u64) {
        tracing::error!(
            "reading names has failed and stops; flows are exact all the same. Restart the agent, and report it"
        );
        self.unread += unread;
        self.place = Place::Nowhere;
    }

    /// Forgets what was begun long ago and never finished.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        match &mut self.place {
            Place::Here(names) => {
                names.tick(now);
                self.counters = names.counters();
            }
            Place::Apart(apart) => match apart.ask(Ask::Tick(now)) {
                Some(Answer::Counted(counters)) => self.counters = counters,
                _ => self.fail(0),
            },
            Place::Nowhere => {}
        }
    }

    /// Copies taken since the start.
    pub(crate) fn peeks(&self) -> u64 {
        self.peeks
    }

    /// What could not be read, by reason.
    pub(crate) fn losses(&self) -> Vec<(String, Loss)> {
        let loss = |count, meaning: &str| Loss { count, meaning: meaning.to_owned(), ..Loss::default() };
        let now = match &self.place {
            Place::Here(names) => names.counters(),
            _ => self.counters.clone(),
        };
        let refused = now.into_iter().filter(|counter| counter.refused);
        let refused = refused.map(|counter| (format!("names_{}", counter.name), loss(counter.count, counter.meaning)));
        let unread = "First bytes of conversations that nobody read because the thread that reads them has failed.";
        refused.chain((self.unread > 0).then(|| ("names_unread".to_owned(), loss(self.unread, unread)))).collect()
    }
}

impl Apart {
    /// Asks and waits; `None` when the thread is gone.
    fn ask(&self, ask: Ask) -> Option<Answer> {
        self.asks.send(ask).ok()?;
        self.answers.recv().ok()
    }
}

/// The thread.
fn work(asked: &Receiver<Ask>, answers: &Sender<Answer>) {
    let mut names = Names::new(Limits::default());
    for ask in asked {
        let answer = match ask {
            Ask::Read(peeks, mut findings) => {
                read(&mut names, &peeks, &mut findings);
                Answer::Found(peeks, findings)
            }
            Ask::Tick(now) => {
                names.tick(now);
                Answer::Counted(names.counters())
            }
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_nobody_can_read_any_more_are_counted() {
        let (asks, asked) = channel();
        let (answer, answers) = channel();
        let mut reader = Reader::at(Place::Apart(Apart { asks, answers }));
        drop((asked, answer));
        let mut peeks = Peeks::default();
        peeks.push(Timestamp(0), hivewall_datapath::PeekHead::default(), &[]);
        assert_eq!(reader.read(&mut peeks), []);
        peeks.push(Timestamp(0), hivewall_datapath::PeekHead::default(), &[]);
        assert_eq!(reader.read(&mut peeks), []);
        assert_eq!(reader.peeks(), 2);
        let losses = reader.losses();
        let [(name, loss)] = losses.as_slice() else { panic!("{losses:?}") };
        assert_eq!((name.as_str(), loss.count), ("names_unread", 2));
    }
}
