//! Newcomers and renewals, on the side of who issues certificates.

use hivewall_cluster::NodeId;
use hivewall_trust::InvitationBook;

use crate::command::Reply;
use crate::driver::Driver;
use crate::error::NetError;

/// What an enroller has.
pub(crate) struct Enroller {
    pub(crate) book: InvitationBook,
}

/// What is done with the book of invitations, and what is to be done when that is durable.
pub(crate) type BookWork = Box<dyn FnOnce(&mut InvitationBook) -> Box<dyn FnOnce() + Send> + Send>;

impl Driver {
    pub(crate) fn answer_renewal(&mut self, _from: NodeId, _bytes: &[u8], _answer: Reply) {}

    pub(crate) fn answer_newcomer(&mut self, _exporter: &[u8; 32], _bytes: &[u8], _answer: Reply) -> Result<(), NetError> {
        Ok(())
    }

    pub(crate) fn renewed(&mut self, _answer: Option<Vec<u8>>) -> Result<(), NetError> {
        Ok(())
    }

    pub(crate) fn renew_if_due(&mut self) -> Result<(), NetError> {
        Ok(())
    }

    pub(crate) fn invitations(&mut self, _work: BookWork) -> Result<(), NetError> {
        Ok(())
    }
}
