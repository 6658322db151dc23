//! The thread that calls the agent, so that a slow or dead one never freezes the screen. It holds no state of the view.
//!
//! Invariant: one answer for each request, in order. The thread ends when its [`Worker`] is dropped and the call it is
//! in has returned; it is not joined, because that call may be waiting for a time-out.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::{io, thread};

use crate::agent::{Agent, Answer, Request};

/// Handle of the worker thread.
pub(crate) struct Worker {
    requests: Sender<Request>,
    answers: Receiver<Answer>,
}

impl Worker {
    /// Starts the thread. Fails when the system gives no thread.
    pub(crate) fn start(mut agent: Box<dyn Agent + Send>) -> io::Result<Self> {
        let (requests, inbox) = channel::<Request>();
        let (outbox, answers) = channel();
        thread::Builder::new().name("hivewall-top-agent".to_owned()).spawn(move || {
            while let Ok(request) = inbox.recv() {
                if outbox.send(answer(agent.as_mut(), request)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, answers })
    }

    /// Hands a request to the thread; fails when the thread has died.
    pub(crate) fn ask(&self, request: Request) -> io::Result<()> {
        self.requests.send(request).map_err(|_| dead())
    }

    /// The next answer if one has come; fails when the thread has died.
    pub(crate) fn answer(&self) -> io::Result<Option<Answer>> {
        match self.answers.try_recv() {
            Ok(answer) => Ok(Some(answer)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(dead()),
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the thread that talks to the agent has died; please report this with the message above")
}

fn answer(agent: &mut (dyn Agent + Send), request: Request) -> Answer {
    let action = request.action.map(|action| agent.policy(&action));
    let snapshot = request.snapshot.then(|| agent.snapshot());
    // A host that does not answer would only time out a second time.
    let failed = matches!(snapshot, Some(Err(_)));
    let fleet = (request.fleet && !failed).then(|| agent.fleet());
    let flows = request.flows.filter(|_| !failed).map(|question| {
        let page = agent.flows(&question);
        (question, page)
    });
    Answer { action, snapshot, fleet, flows }
}

#[cfg(test)]
mod tests {
    use hivewall_view::{FlowPage, Snapshot, Sort};

    use super::*;
    use crate::agent::FlowQuestion;

    /// Answers the snapshot or not; counts the questions about flows in the page.
    struct Half {
        alive: bool,
    }

    impl Agent for Half {
        fn name(&self) -> String {
            "half".to_owned()
        }
        fn snapshot(&mut self) -> Result<Snapshot, String> {
            if self.alive { Ok(Snapshot::default()) } else { Err("refused".to_owned()) }
        }
        fn flows(&mut self, question: &FlowQuestion) -> Result<FlowPage, String> {
            Ok(FlowPage { matched: question.limit as u64, ..FlowPage::default() })
        }
    }

    fn both() -> Request {
        let flows = FlowQuestion { filter: String::new(), sort: Sort::Bytes, limit: 7, history: false };
        Request { action: None, snapshot: true, fleet: true, flows: Some(flows) }
    }

    #[test]
    fn a_request_is_answered_from_the_other_thread() {
        let worker = Worker::start(Box::new(Half { alive: true })).unwrap();
        worker.ask(both()).unwrap();
        let got = worker.answers.recv().unwrap();
        assert!(matches!(got.snapshot, Some(Ok(_))));
        assert_eq!(got.flows.unwrap().1.unwrap().matched, 7);
    }

    #[test]
    fn a_dead_agent_is_asked_once_and_not_twice() {
        let got = answer(&mut Half { alive: false }, both());
        assert!(matches!(got.snapshot, Some(Err(_))));
        assert!(got.flows.is_none() && got.fleet.is_none());
    }
}
