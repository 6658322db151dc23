//! The front on interfaces: attached to the driver's hook, pinned, replaced.
//!
//! It decides nothing about packets. Invariant: a link is an object of the kernel that this process or a pin holds; nothing
//! is attached in a way that would outlive both.

use std::io;
use std::path::Path;

use aya::Ebpf;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, loaded_programs};
use hivewall_model::{Interface, LinkLayer};

use crate::ebpf::{EbpfError, xdp};
use crate::link::Links;

/// The front's programs.
const ETHERNET: &str = "hivewall_front";
const IP: &str = "hivewall_front_ip";

/// Where the front runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FrontMode {
    /// In the driver, before a buffer is made.
    #[default]
    Native,
    /// In the kernel's stack, for drivers without support: later, and dearer.
    Generic,
}

/// Why the driver's hook of an interface has no program of ours. Bans hold there all the same, where packets are judged.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// Another program is there, and the hook takes one.
    #[error(
        "the XDP hook of {interface} has another program ({program}); what it passes is judged behind it. Detach it, or \
         chain both with a dispatcher, to have bans dropped in the driver"
    )]
    Busy {
        /// Name.
        interface: String,
        /// Name and number of the other program, as far as the kernel tells.
        program: String,
    },
    /// The driver has no support.
    #[error(
        "the driver of {interface} cannot run XDP programs as it is set up ({source}); ask for generic mode, or lower the \
         MTU if that is what it objects to"
    )]
    Driver {
        /// Name.
        interface: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Frames of an unknown layout.
    #[error("frames of {interface} (ARPHRD {arphrd}) cannot be read at the XDP hook")]
    Layer {
        /// Name.
        interface: String,
        /// Kind of link.
        arphrd: u16,
    },
    /// The kernel has no XDP links.
    #[error("this kernel has no links for XDP programs (they came with 5.9), so nothing is attached to {interface}")]
    NoLinks {
        /// Name.
        interface: String,
    },
    /// Anything else.
    #[error("cannot attach to the XDP hook of {interface}: {source}")]
    Attach {
        /// Name.
        interface: String,
        /// The loader's account.
        source: Box<ProgramError>,
    },
    /// A pin could not be made or read.
    #[error("cannot {what}: {source}; check that a BPF file system is mounted there and that this process may write to it")]
    Pin {
        /// What was tried.
        what: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The object cannot be used.
    #[error(transparent)]
    Object(#[from] EbpfError),
}

/// A program on an interface. It is detached when this goes, unless it was pinned.
#[derive(Debug)]
pub struct FrontLink {
    link: FdLink,
    /// Where it runs.
    pub mode: FrontMode,
}

impl FrontLink {
    /// Keeps it attached after this process, until the pin is removed.
    pub fn pin(self, place: &Path) -> Result<PinnedLink, FrontError> {
        let failed = |error| FrontError::Pin { what: format!("pin a link at {}", place.display()), source: to_io(error) };
        self.link.pin(place).map_err(failed)
    }
}

/// Attaches the front of a loaded object to an interface.
pub fn attach(ebpf: &mut Ebpf, interface: &Interface, mode: FrontMode) -> Result<FrontLink, FrontError> {
    let program = match interface.link {
        LinkLayer::Ethernet => ETHERNET,
        LinkLayer::Ip => IP,
        LinkLayer::Other(arphrd) => return Err(FrontError::Layer { interface: interface.name.clone(), arphrd }),
    };
    attach_program(ebpf, program, interface, mode)
}

/// Attaches a program of an object to the driver's hook.
pub(crate) fn attach_program(
    ebpf: &mut Ebpf,
    name: &'static str,
    interface: &Interface,
    mode: FrontMode,
) -> Result<FrontLink, FrontError> {
    let program = xdp(ebpf, name)?;
    let flags = match mode {
        FrontMode::Native => XdpMode::Driver,
        FrontMode::Generic => XdpMode::Skb,
    };
    let id = program.attach_to_if_index(interface.index, flags).map_err(|error| refusal(interface, error))?;
    let refuse = |source| FrontError::Attach { interface: interface.name.clone(), source: Box::new(source) };
    let link = program.take_link(id).map_err(refuse)?;
    // An attachment without a link object would stay when this process is killed: it is taken back here.
    let link = FdLink::try_from(link).map_err(|_| FrontError::NoLinks { interface: interface.name.clone() })?;
    Ok(FrontLink { link, mode })
}

/// Puts the program of a newly loaded object in the place of the one behind a pinned link, with no packet in between.
pub fn replace_pinned(ebpf: &mut Ebpf, place: &Path, link: LinkLayer) -> Result<(), FrontError> {
    let failed = |source| FrontError::Pin { what: format!("open the link at {}", place.display()), source };
    let name = if link == LinkLayer::Ip { IP } else { ETHERNET };
    let interface = || place.display().to_string();
    let old = PinnedLink::from_pin(place).map_err(|error| failed(to_io(error)))?;
    // The pin stays; this descriptor is one more holder of the same link.
    let old: FdLink = old.into();
    let old = XdpLink::try_from(old).map_err(|error| failed(to_io(error)))?;
    let program = xdp(ebpf, name)?;
    let refuse = |source| FrontError::Attach { interface: interface(), source: Box::new(source) };
    program.attach_to_link(old).map_err(refuse)?;
    Ok(())
}

fn to_io(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(now) = cause {
        if let Some(code) = now.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(code);
        }
        cause = now.source();
    }
    io::Error::other(error)
}

fn refusal(interface: &Interface, error: ProgramError) -> FrontError {
    let code = match &error {
        ProgramError::SyscallError(call) => call.io_error.raw_os_error(),
        _ => None,
    };
    let name = interface.name.clone();
    match code {
        Some(libc::EBUSY | libc::EEXIST) => FrontError::Busy { interface: name, program: present(interface.index) },
        Some(code @ (libc::EOPNOTSUPP | libc::ERANGE)) => {
            FrontError::Driver { interface: name, source: io::Error::from_raw_os_error(code) }
        }
        _ => FrontError::Attach { interface: name, source: Box::new(error) },
    }
}

/// The program on an interface's hook, in words.
fn present(index: u32) -> String {
    let programs = Links::open().and_then(|mut links| links.xdp_programs()).unwrap_or_default();
    let Some(id) = programs.get(&index) else { return "which the kernel does not name".to_owned() };
    let found = loaded_programs().flatten().find(|program| program.id() == *id);
    let name = found.and_then(|program| program.name_as_str().map(str::to_owned)).unwrap_or_default();
    if name.is_empty() { format!("id {id}") } else { format!("{name}, id {id}") }
}
