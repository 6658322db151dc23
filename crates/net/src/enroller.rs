//! How papers are issued and renewed: what an enroller answers newcomers and members, and what a member does when a
//! third of its papers' life is over. What is proved to whom stands in the crate `trust`.
//!
//! Invariant: the book of invitations is durable before a newcomer is answered, and new papers before they are used.

use std::net::SocketAddr;

use hivewall_cluster::NodeId;
use hivewall_trust::{CHARTER_NAME, EnrolRequest, EnrolResponse, InvitationBook};

use crate::clock::unix_s;
use crate::command::{Command, Reply};
use crate::driver::Driver;
use crate::error::NetError;
use crate::frames::Kind;

/// Most addresses of members that a newcomer gets.
const SEEDS_MAX: usize = 16;

/// What is done with the book of invitations, and what is to be done when that is durable.
pub(crate) type BookWork = Box<dyn FnOnce(&mut InvitationBook) -> Box<dyn FnOnce() + Send> + Send>;

impl Driver {
    /// A newcomer wants to become a member.
    pub(crate) fn answer_newcomer(&mut self, exporter: &[u8; 32], bytes: &[u8], answer: Reply) -> Result<(), NetError> {
        let response = match self.redeem(exporter, bytes) {
            Ok(request) => {
                self.keep_book()?;
                self.welcome(&request)
            }
            Err(why) => EnrolResponse::Refused(why),
        };
        if let EnrolResponse::Refused(why) = &response {
            tracing::info!(why, "a newcomer was not enrolled");
            self.parts.counters.lose(crate::losses::LinkReason::EnrolRefused);
        }
        let _ = answer.send(Some(response.encode()));
        Ok(())
    }

    fn redeem(&mut self, exporter: &[u8; 32], bytes: &[u8]) -> Result<EnrolRequest, String> {
        let request = EnrolRequest::decode(bytes).map_err(|error| error.to_string())?;
        let book = self.parts.book.as_mut().ok_or("this host issues no certificates: ask the one that invited")?;
        if self.parts.membership.is_revoked(NodeId::of_key(&request.public)) {
            return Err("this key was removed from the fleet: make a new one".to_owned());
        }
        let redeemed = book.redeem(&request.invitation, &request.proof, exporter, &request.public, unix_s());
        redeemed.map_err(|error| error.to_string())?;
        Ok(request)
    }

    fn keep_book(&mut self) -> Result<(), NetError> {
        let Some(book) = &self.parts.book else { return Ok(()) };
        self.parts.program.keep_invitations(book).map_err(NetError::Persist)
    }

    fn welcome(&mut self, request: &EnrolRequest) -> EnrolResponse {
        let issued = self.parts.membership.enroller().map(|enroller| enroller.issue(request.public, unix_s()));
        let charter = self.parts.core.policy(CHARTER_NAME).map(|policy| (**policy).clone());
        match (issued, charter) {
            (Some(Ok(papers)), Some(charter)) => {
                tracing::info!(name = request.name, id = %papers.passport.id(), "a host was enrolled");
                let keys = self.parts.program.keys();
                EnrolResponse::Welcome { papers, charter, keys, seeds: self.seeds() }
            }
            (Some(Err(error)), _) => EnrolResponse::Refused(error.to_string()),
            (None, _) => EnrolResponse::Refused("this host may not admit others (any more)".to_owned()),
            (_, None) => EnrolResponse::Refused("this host has no charter yet: try again in a minute".to_owned()),
        }
    }

    /// This host first, then others that are alive.
    fn seeds(&self) -> Vec<SocketAddr> {
        let core = &self.parts.core;
        let others = core.alive().iter().copied().filter(|id| *id != core.id());
        let ids = std::iter::once(core.id()).chain(others);
        ids.flat_map(|id| core.address_of(id).iter().copied().take(2)).take(SEEDS_MAX).collect()
    }

    /// A member wants new papers.
    pub(crate) fn answer_renewal(&mut self, from: NodeId, answer: Reply) {
        let public = self.parts.membership.public_of(from);
        let enroller = self.parts.membership.enroller();
        let papers = enroller.zip(public).and_then(|(enroller, public)| enroller.issue(public, unix_s()).ok());
        let charter = self.parts.core.policy(CHARTER_NAME).map(|policy| (**policy).clone());
        let response = papers.zip(charter).map(|(papers, charter)| EnrolResponse::Welcome {
            papers,
            charter,
            keys: Vec::new(),
            seeds: Vec::new(),
        });
        let _ = answer.send(response.map(|response| response.encode()));
    }

    /// Asks for new papers when it is time; an enroller issues its own.
    pub(crate) fn renew_if_due(&mut self) -> Result<(), NetError> {
        if self.is_renewing || unix_s() < self.parts.membership.renew_at_unix_s() {
            return Ok(());
        }
        if let Some(enroller) = self.parts.membership.enroller() {
            let public = self.parts.membership.identity().key().public();
            return match enroller.issue(public, unix_s()) {
                Ok(papers) => self.use_papers(papers),
                Err(error) => {
                    tracing::warn!(%error, "this host cannot renew its own papers");
                    Ok(())
                }
            };
        }
        let core = &self.parts.core;
        let is_enroller = |id: &NodeId| core.member(*id).is_some_and(|member| member.flags.enroller);
        let enrollers: Vec<NodeId> = core.alive().iter().copied().filter(is_enroller).collect();
        let at = unix_s() as usize % enrollers.len().max(1);
        let Some(target) = enrollers.get(at).map(|id| self.target(*id)) else { return Ok(()) };
        self.is_renewing = true;
        let (pool, counters, back) =
            (self.parts.pool.clone(), self.parts.counters.clone(), self.parts.from_tasks.clone());
        tokio::spawn(async move {
            let answer = pool.ask(target, Kind::Renew, &[], false).await;
            if let Err(reason) = answer {
                counters.lose(reason);
            }
            let _ = back.send(Command::Renewed(answer.ok().flatten())).await;
        });
        Ok(())
    }

    /// New papers came, or did not: then it is tried again at the next look.
    pub(crate) fn renewed(&mut self, answer: Option<Vec<u8>>) -> Result<(), NetError> {
        self.is_renewing = false;
        match answer.and_then(|bytes| EnrolResponse::decode(&bytes).ok()) {
            Some(EnrolResponse::Welcome { papers, .. }) => self.use_papers(papers),
            _ => Ok(()),
        }
    }

    fn use_papers(&mut self, papers: hivewall_trust::Papers) -> Result<(), NetError> {
        let held = self.parts.membership.identity();
        let renewed = match held.renewed(papers) {
            Ok(renewed) if renewed.passport().not_after > held.passport().not_after => renewed,
            Ok(_) => return Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the renewed papers are not this host's");
                return Ok(());
            }
        };
        self.parts.program.keep_identity(&renewed).map_err(NetError::Persist)?;
        self.parts.noise.renew(renewed.passport().encode());
        self.parts.membership.replace(renewed)?;
        let server = self.parts.membership.server_config()?;
        self.parts.pool.endpoint.set_server_config(Some(server));
        self.describe()
    }

    /// The program works on the book of invitations.
    pub(crate) fn invitations(&mut self, work: BookWork) -> Result<(), NetError> {
        let Some(book) = self.parts.book.as_mut() else { return Ok(()) };
        let before = book.clone();
        let finish = work(book);
        if *book != before {
            self.keep_book()?;
        }
        finish();
        Ok(())
    }
}
