//! Alerts that somebody wants to hear nothing of: which signs a mute is about.

use hivewall_model::Timestamp;
use hivewall_view::alerts::Mute;
use hivewall_view::time::parse_rfc3339;
use ipnet::IpNet;

use crate::Sign;

/// A mute that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MuteError {
    /// It would keep everything silent.
    #[error(
        "a mute has to name a detector, a source, a target, a port or a subject; to hear of nothing, switch detectors off in the settings"
    )]
    Empty,
    /// No address.
    #[error("{text:?} is no address and no prefix; write for example 192.0.2.7 or 192.0.2.0/24")]
    Address {
        /// As it stood.
        text: String,
    },
    /// No such detector.
    #[error("there is no detector {name:?}; `hivewall alerts detectors` lists them")]
    Detector {
        /// As it stood.
        name: String,
    },
    /// No time.
    #[error("{text:?} is no time; write RFC 3339, for example 2026-11-27T18:00:00Z")]
    Time {
        /// As it stood.
        text: String,
    },
}

/// A mute, ready to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Muted {
    pub(crate) mute: Mute,
    pub(crate) until: Option<Timestamp>,
    source: Option<IpNet>,
    target: Option<IpNet>,
}

fn prefix(text: Option<&String>) -> Result<Option<IpNet>, MuteError> {
    let Some(text) = text else { return Ok(None) };
    let address = || text.trim().parse().map(|address: std::net::IpAddr| IpNet::from(address));
    text.trim().parse().or_else(|_| address()).map(Some).map_err(|_| MuteError::Address { text: text.clone() })
}

impl Muted {
    pub(crate) fn new(mute: Mute) -> Result<Self, MuteError> {
        let of = &mute.of;
        if *of == hivewall_view::alerts::MuteMatch::default() {
            return Err(MuteError::Empty);
        }
        if let Some(name) = &of.detector
            && !crate::definitions().iter().any(|definition| definition.name == name)
        {
            return Err(MuteError::Detector { name: name.clone() });
        }
        let time = |text: &String| parse_rfc3339(text).ok_or_else(|| MuteError::Time { text: text.clone() });
        let until = mute.until.as_ref().map(time).transpose()?;
        let (source, target) = (prefix(of.source.as_ref())?, prefix(of.target.as_ref())?);
        Ok(Self { mute, until, source, target })
    }

    /// Whether a sign is one of those.
    pub(crate) fn is_of(&self, sign: &Sign) -> bool {
        let of = &self.mute.of;
        of.detector.as_ref().is_none_or(|name| sign.detector.name == name)
            && self.source.is_none_or(|net| sign.subject.source.is_some_and(|source| net.contains(&source)))
            && self.target.is_none_or(|net| sign.targets.iter().any(|target| net.contains(target)))
            && of.port.is_none_or(|port| sign.port == Some(port))
            && of.subject.as_deref().is_none_or(|subject| sign.subject.other.as_deref() == Some(subject))
    }
}
