//! Exit codes: one table, also the source of the help text and of docs/reference/exit-codes.md.

use std::fmt::Write as _;
use std::process::ExitCode;

use hivewall_host::ebpf::EbpfError;
use hivewall_host::file::FileError;
use hivewall_host::packet::PacketError;
use hivewall_host::rules::RulesError;
use hivewall_host::source::SourceError;

macro_rules! exits {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// How the program ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Exit {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        /// Every code and what it means.
        pub(crate) const EXITS: &[(u8, &str)] = &[$(($code, concat!($($doc),+).trim_ascii()),)+];
    };
}

exits! {
    /// Done.
    Done = 0,
    /// Something failed that no other code names; the message says what.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// A privilege is missing: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.
    Privilege = 3,
    /// No interface to capture on.
    NoInterface = 4,
    /// The capture file is cut short or broken; everything before that was used.
    CutOff = 5,
    /// The agent does not answer.
    Unreachable = 6,
    /// A log or report cannot be written.
    Unwritable = 7,
    /// The kernel lacks a feature that was asked for by name.
    Unsupported = 8,
}

/// An error with the code it ends the program with.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ending {}

/// An error that ends the program with this code.
pub(crate) fn ending(exit: Exit, message: impl std::fmt::Display) -> anyhow::Error {
    anyhow::Error::new(Ending { exit, message: message.to_string() })
}

/// The code an error ends the program with.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(exit_of(error) as u8)
}

/// The same as a name.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(ending) = cause.downcast_ref::<Ending>() {
            return ending.exit;
        }
        if cause.is::<hivewall_config::ConfigError>() {
            return Exit::Usage;
        }
        if cause.is::<hivewall_export::LogError>() {
            return Exit::Unwritable;
        }
        if let Some(source) = cause.downcast_ref::<SourceError>() {
            return source_exit(source);
        }
        if let Some(RulesError::Privilege { .. }) = cause.downcast_ref::<RulesError>() {
            return Exit::Privilege;
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::PermissionDenied
        {
            return Exit::Privilege;
        }
    }
    Exit::Failed
}

fn source_exit(error: &SourceError) -> Exit {
    match error {
        SourceError::NoInterface { .. } => Exit::NoInterface,
        SourceError::File(FileError::CutOff { .. } | FileError::Broken { .. } | FileError::TooLong { .. }) => {
            Exit::CutOff
        }
        SourceError::Packet(PacketError::Privilege { .. }) | SourceError::Ebpf(EbpfError::Privilege(_)) => {
            Exit::Privilege
        }
        _ => Exit::Failed,
    }
}

/// The table as text for `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in EXITS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {code}  {meaning}");
    }
    text
}
