//! What stands on a stream: one question, one answer, each with a byte for its version and one for its kind. No parsing
//! of what is asked.
//!
//! Invariant: nothing is read beyond the limit of its kind, and a stream that is not of this form is refused unread.

use quinn::{ReadToEndError, RecvStream, SendStream};

use crate::losses::LinkReason;

/// First byte of every question and answer.
const STREAM_PROTOCOL: u8 = 1;
/// Longest question of a program.
pub const QUESTION_BYTES_MAX: usize = 256 << 10;
/// Longest answer of a program.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Longest message of the enrolment.
pub(crate) const ENROL_BYTES_MAX: usize = 1 << 20;

/// What kind of question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For the core.
    Core = 1,
    /// For the program.
    Program = 2,
    /// For a new certificate.
    Renew = 3,
    /// To become a member.
    Enrol = 4,
}

impl Kind {
    fn read(byte: u8) -> Option<Self> {
        [Self::Core, Self::Program, Self::Renew, Self::Enrol].into_iter().find(|kind| *kind as u8 == byte)
    }

    pub(crate) const fn question_bytes_max(self) -> usize {
        match self {
            Self::Core => hivewall_cluster::wire::STREAM_BYTES_MAX,
            Self::Program => QUESTION_BYTES_MAX,
            Self::Renew | Self::Enrol => 4096,
        }
    }

    pub(crate) const fn answer_bytes_max(self) -> usize {
        match self {
            Self::Core => hivewall_cluster::wire::STREAM_BYTES_MAX,
            Self::Program => ANSWER_BYTES_MAX,
            Self::Renew | Self::Enrol => ENROL_BYTES_MAX,
        }
    }
}

/// First byte of what follows the version in an answer.
const ANSWERED: u8 = 1;
const REFUSED: u8 = 2;

/// The head of a question, read before anything is kept of it.
pub(crate) fn read_head(head: [u8; 2]) -> Result<Kind, LinkReason> {
    let [version, kind] = head;
    if version != STREAM_PROTOCOL {
        return Err(LinkReason::Version);
    }
    Kind::read(kind).ok_or(LinkReason::Malformed)
}

/// Reads a question.
pub(crate) async fn read_question(stream: &mut RecvStream) -> Result<(Kind, Vec<u8>), LinkReason> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.map_err(|_| LinkReason::Malformed)?;
    let kind = read_head(head)?;
    let bytes = stream.read_to_end(kind.question_bytes_max()).await.map_err(|error| reason(&error))?;
    Ok((kind, bytes))
}

fn reason(error: &ReadToEndError) -> LinkReason {
    match error {
        ReadToEndError::TooLong => LinkReason::StreamTooLong,
        ReadToEndError::Read(_) => LinkReason::StreamBroken,
    }
}

/// Writes a question, to its end.
pub(crate) async fn write_question(stream: &mut SendStream, kind: Kind, bytes: &[u8]) -> Result<(), LinkReason> {
    write(stream, [STREAM_PROTOCOL, kind as u8], bytes).await
}

/// Writes an answer, to its end; `None` refuses.
pub(crate) async fn write_answer(stream: &mut SendStream, bytes: Option<&[u8]>) -> Result<(), LinkReason> {
    let status = if bytes.is_some() { ANSWERED } else { REFUSED };
    write(stream, [STREAM_PROTOCOL, status], bytes.unwrap_or_default()).await
}

async fn write(stream: &mut SendStream, head: [u8; 2], bytes: &[u8]) -> Result<(), LinkReason> {
    stream.write_all(&head).await.map_err(|_| LinkReason::StreamBroken)?;
    stream.write_all(bytes).await.map_err(|_| LinkReason::StreamBroken)?;
    stream.finish().map_err(|_| LinkReason::StreamBroken)
}

/// Reads an answer; `Ok(None)`: refused.
pub(crate) async fn read_answer(stream: &mut RecvStream, kind: Kind) -> Result<Option<Vec<u8>>, LinkReason> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.map_err(|_| LinkReason::StreamBroken)?;
    let [version, status] = head;
    if version != STREAM_PROTOCOL {
        return Err(LinkReason::Version);
    }
    let bytes = stream.read_to_end(kind.answer_bytes_max()).await.map_err(|error| reason(&error))?;
    match status {
        ANSWERED => Ok(Some(bytes)),
        REFUSED => Ok(None),
        _ => Err(LinkReason::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_another_version_or_kind_is_refused_by_its_head() {
        assert_eq!(read_head([1, 2]), Ok(Kind::Program));
        assert_eq!(read_head([2, 2]), Err(LinkReason::Version));
        assert_eq!(read_head([1, 0]), Err(LinkReason::Malformed));
        assert_eq!(read_head([1, 5]), Err(LinkReason::Malformed));
    }
}
