//! Links that are in the kernel whoever holds them: found by their program, detached by force.

use std::collections::BTreeSet;
use std::io;

use super::EbpfError;

const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_LINK_GET_NEXT_ID: libc::c_long = 31;
const BPF_LINK_DETACH: libc::c_long = 34;

fn bpf(command: libc::c_long, attr: &mut [u32; 32]) -> io::Result<i32> {
    // SAFETY: `attr` is as large as any member of `union bpf_attr` used here; unused words are 0.
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), 128_usize) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status as i32) }
}

struct Fd(i32);

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the descriptor is owned by this value and closed once.
        unsafe { libc::close(self.0) };
    }
}

fn by_id(command: libc::c_long, id: u32) -> io::Result<Fd> {
    let mut attr = [0; 32];
    attr[0] = id;
    bpf(command, &mut attr).map(Fd)
}

fn info(fd: &Fd, into: &mut [u8; 256]) -> io::Result<()> {
    let mut attr = [0; 32];
    let at = into.as_mut_ptr() as u64;
    [attr[0], attr[1], attr[2], attr[3]] = [fd.0 as u32, into.len() as u32, at as u32, (at >> 32) as u32];
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr).map(drop)
}

/// Id of the program behind a link.
fn program(link: &Fd) -> io::Result<u32> {
    let mut bytes = [0; 256];
    info(link, &mut bytes)?;
    // struct bpf_link_info: type, id, prog_id.
    let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = bytes;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// Detaches every link of these programs; returns a line for each.
pub fn detach_links(programs: &BTreeSet<u32>) -> Result<Vec<String>, EbpfError> {
    let (mut done, mut id) = (Vec::new(), 0);
    loop {
        let mut attr = [0; 32];
        attr[0] = id;
        match bpf(BPF_LINK_GET_NEXT_ID, &mut attr) {
            Ok(_) => id = attr[1],
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(done),
            Err(source) => return Err(EbpfError::System { call: "listing BPF links", source }),
        }
        // A link may be gone by the time it is looked at.
        let Ok(link) = by_id(BPF_LINK_GET_FD_BY_ID, id) else { continue };
        let Ok(program) = program(&link) else { continue };
        if !programs.contains(&program) {
            continue;
        }
        let mut attr = [0; 32];
        attr[0] = link.0 as u32;
        bpf(BPF_LINK_DETACH, &mut attr).map_err(|source| EbpfError::System { call: "detaching a BPF link", source })?;
        done.push(format!("detached link {id} of program {program}"));
    }
}
