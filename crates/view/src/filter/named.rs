//! Fields of a flow that hold a name somebody gave: processes, servers, questions. What they are called and how a
//! pattern meets them stands here; where a flow has them, in `subject`.
//!
//! Invariant: names that this host gives (processes, users, paths) keep their case; names that protocols carry do not,
//! because nobody relies on it there.

use super::glob;

/// Digits from which a container's id may be cut short: with fewer, a name is more likely meant.
const ID_DIGITS_MIN: usize = 4;
/// Fewer digits than this are no id of any runtime.
const ID_DIGITS_WHOLE_MIN: usize = 12;

/// Which name. The numbers give the order of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Named {
    Process,
    User,
    Container,
    Executable,
    Cgroup,
    Application,
    Server,
    Sni,
    HttpHost,
    HttpMethod,
    HttpTarget,
    TlsVersion,
    Alpn,
    Ja4,
    DnsQuery,
    DnsType,
    DnsRcode,
    Ssh,
    Rule,
}

impl Named {
    /// How many there are.
    pub(super) const COUNT: u8 = Self::Rule as u8 + 1;

    /// Those that free text looks into.
    pub(super) const SEARCHED: [Self; 4] = [Self::Process, Self::Application, Self::Server, Self::DnsQuery];

    /// The field's name.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::User => "user",
            Self::Container => "container",
            Self::Executable => "executable",
            Self::Cgroup => "cgroup",
            Self::Application => "application",
            Self::Server => "name",
            Self::Sni => "sni",
            Self::HttpHost => "http-host",
            Self::HttpMethod => "http-method",
            Self::HttpTarget => "http-target",
            Self::TlsVersion => "tls-version",
            Self::Alpn => "alpn",
            Self::Ja4 => "ja4",
            Self::DnsQuery => "dns-query",
            Self::DnsType => "dns-type",
            Self::DnsRcode => "dns-rcode",
            Self::Ssh => "ssh",
            Self::Rule => "rule",
        }
    }

    /// Whether `shown`, a value of this field, is what `pattern` describes.
    pub(super) fn matches(self, pattern: &str, shown: &str) -> bool {
        match self {
            Self::Container => glob::matches(pattern, shown) || is_begun_id(pattern, shown),
            // A name without a slash is looked for at the end of the path, where people know it.
            Self::Executable | Self::Cgroup if !pattern.contains('/') => {
                glob::matches(pattern, shown.rsplit('/').next().unwrap_or(shown))
            }
            Self::Process | Self::User | Self::HttpTarget | Self::Executable | Self::Cgroup => {
                glob::matches(pattern, shown)
            }
            _ => glob::matches_in_any_case(pattern, shown),
        }
    }
}

/// Whether `text` is the beginning of `id`, as the runtimes' own commands take it.
fn is_begun_id(text: &str, id: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    text.len() >= ID_DIGITS_MIN && id.len() >= ID_DIGITS_WHOLE_MIN && digits(text) && digits(id) && id.starts_with(text)
}
