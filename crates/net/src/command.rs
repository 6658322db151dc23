//! What other threads and tasks hand to the driver.

use std::time::Duration;

use hivewall_cluster::{Entry, NodeId, Order};
use tokio::sync::oneshot;

use crate::enroller::BookWork;
use crate::program::{AskError, Description};

/// One thing to do.
pub(crate) enum Command {
    /// A peer or a newcomer asks.
    Question(Question),
    /// The answer to a question of the core.
    Response { token: u64, bytes: Option<Vec<u8>> },
    /// The program wants something of the core.
    Order(Order),
    /// The host is to be described anew.
    Describe(Description),
    /// The program asks a peer.
    Ask { to: NodeId, question: Vec<u8>, timeout: Duration, is_anew: bool, answer: AskAnswer },
    /// An author's chain of the audit log.
    Audit(NodeId, oneshot::Sender<Vec<Entry>>),
    /// A renewed certificate came, or did not.
    Renewed(Option<Vec<u8>>),
    /// An invitation is to be issued, listed or withdrawn.
    Invitations(BookWork),
    /// End; say farewell first if so.
    Stop { leave: bool },
}

/// Where the answer to the program's question goes.
pub(crate) type AskAnswer = oneshot::Sender<Result<Vec<u8>, AskError>>;

/// A question from outside. `None` as the answer refuses.
pub(crate) enum Question {
    Core { from: NodeId, bytes: Vec<u8>, answer: Reply },
    Program { from: NodeId, bytes: Vec<u8>, answer: Reply },
    Renew { from: NodeId, answer: Reply },
    Enrol { exporter: [u8; 32], bytes: Vec<u8>, answer: Reply },
}

/// Where the answer to a peer's question goes.
pub(crate) type Reply = oneshot::Sender<Option<Vec<u8>>>;
