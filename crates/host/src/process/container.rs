//! Which container a cgroup path stands for.
//!
//! Runtimes name their cgroups by the container's id, either as systemd scopes (`docker-ID.scope`) or as plain
//! directories (`/docker/ID`). Invariant: an answer is never guessed: a path that no runtime is known to make is no
//! container, and neither are the processes that watch over one (conmon, lxc's monitor).

/// Who made the cgroup, as far as its path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// containerd: nerdctl, or Kubernetes by its CRI plug-in.
    Containerd,
    /// CRI-O.
    CriO,
    /// LXC, LXD, Incus.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// A pod of Kubernetes; the path does not tell which runtime keeps it.
    Kubepods,
    /// A directory with a name as container ids have it. Only state files can tell whether it is one.
    Unknown,
}

impl Runtime {
    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Lxc => "lxc",
            Self::Nspawn => "systemd-nspawn",
            Self::Kubepods => "kubepods",
            Self::Unknown => "unknown",
        }
    }
}

/// Prefixes of names that end in an id.
const PREFIXES: [(&str, Runtime); 5] = [
    ("docker-", Runtime::Docker),
    ("libpod-", Runtime::Podman),
    ("cri-containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
];
/// Hexadecimal digits in an id.
const ID_LEN: usize = 64;
/// Longest name of an LXC or systemd-nspawn container that is taken for one.
const NAME_LEN_MAX: usize = 128;

/// Runtime and id (name, for those that know nothing else) of the innermost container in a cgroup path.
pub fn identify(path: &str) -> Option<(Runtime, String)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let pods = parts.iter().any(|part| part.starts_with("kubepods"));
    (0..parts.len()).rev().find_map(|at| {
        let (above, part) = (at.checked_sub(1).and_then(|at| parts.get(at)), parts.get(at)?);
        component(above.copied().unwrap_or_default(), part, pods)
    })
}

fn component(above: &str, part: &str, pods: bool) -> Option<(Runtime, String)> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    // Where systemd was meant and is not there, containerd makes `SLICE:PREFIX:ID` a plain directory.
    let bare = bare.rsplit_once(':').map_or(bare, |(front, id)| match front.rsplit_once(':') {
        Some((_, "cri-containerd")) => id,
        _ => bare,
    });
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = bare.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some((runtime, id.to_owned()));
        }
    }
    if is_id(bare) {
        let runtime = match above {
            "docker" => Runtime::Docker,
            "libpod_parent" => Runtime::Podman,
            _ if part.contains(":cri-containerd:") => Runtime::Containerd,
            _ if pods => Runtime::Kubepods,
            _ => Runtime::Unknown,
        };
        return Some((runtime, bare.to_owned()));
    }
    if let Some(name) = part.strip_prefix("lxc.payload.").or(matches!(above, "lxc" | "lxc.payload").then_some(part)) {
        return is_name(name).then(|| (Runtime::Lxc, name.to_owned()));
    }
    nspawn(above, part).map(|name| (Runtime::Nspawn, name))
}

/// `machine.slice` also holds virtual machines, which libvirt names by their driver.
fn nspawn(above: &str, part: &str) -> Option<String> {
    if above != "machine.slice" && above != "system.slice" {
        return None;
    }
    let service = part.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"));
    let scope = || (above == "machine.slice").then(|| part.strip_prefix("machine-")?.strip_suffix(".scope")).flatten();
    let name = unit_name(service.or_else(scope)?);
    let is_machine =
        service.is_none() && ["qemu-", "lxc-", "xen-", "ch-"].iter().any(|driver| name.starts_with(driver));
    (is_name(&name) && !is_machine).then_some(name)
}

/// systemd.unit(5): `\xHH` for what may not stand in a unit's name, and for hyphens.
fn unit_name(escaped: &str) -> String {
    let mut parts = escaped.split("\\x");
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii);
        if let (Some(byte), Some(rest)) = (code, part.get(2..)) {
            name.push(char::from(byte));
            name.push_str(rest);
        } else {
            name.push_str("\\x");
            name.push_str(part);
        }
    }
    name
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f66ad9a0b2e1f2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef012345";

    #[track_caller]
    fn check(path: &str, want: Option<(Runtime, &str)>) {
        let path = path.replace("ID", ID);
        let want = want.map(|(runtime, id)| (runtime, id.replace("ID", ID)));
        assert_eq!(identify(&path), want, "{path}");
    }

    #[test]
    fn docker_with_either_driver() {
        check("/system.slice/docker-ID.scope", Some((Runtime::Docker, "ID")));
        check("/docker/ID", Some((Runtime::Docker, "ID")));
        check("/system.slice/docker.service", None);
        check("/system.slice/docker-ID", Some((Runtime::Docker, "ID")));
    }

    #[test]
    fn a_service_inside_of_a_container_belongs_to_it() {
        check("/docker/ID/system.slice/nginx.service", Some((Runtime::Docker, "ID")));
        check("/system.slice/docker-ID.scope/init.scope", Some((Runtime::Docker, "ID")));
    }

    #[test]
    fn podman_and_not_its_monitor() {
        check("/machine.slice/libpod-ID.scope", Some((Runtime::Podman, "ID")));
        check("/machine.slice/libpod-ID.scope/container", Some((Runtime::Podman, "ID")));
        check("/libpod_parent/libpod-ID", Some((Runtime::Podman, "ID")));
        let rootless = "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope";
        check(rootless, Some((Runtime::Podman, "ID")));
        check("/machine.slice/libpod-conmon-ID.scope", None);
    }

    #[test]
    fn kubernetes_with_every_runtime_and_driver() {
        let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice";
        check(&format!("{slice}/cri-containerd-ID.scope"), Some((Runtime::Containerd, "ID")));
        check(&format!("{slice}/crio-ID.scope"), Some((Runtime::CriO, "ID")));
        check(&format!("{slice}/crio-conmon-ID.scope"), None);
        check(&format!("{slice}/docker-ID.scope"), Some((Runtime::Docker, "ID")));
        check("/kubepods/burstable/pod9b1c/ID", Some((Runtime::Kubepods, "ID")));
        check(
            "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:ID",
            Some((Runtime::Containerd, "ID")),
        );
        check("/kubepods/burstable/pod9b1c", None);
    }

    #[test]
    fn nerdctl_and_what_only_looks_like_a_container() {
        check("/system.slice/nerdctl-ID.scope", Some((Runtime::Containerd, "ID")));
        check("/default/ID", Some((Runtime::Unknown, "ID")));
        check("/default/4F66", None);
        check("/user.slice/user-1000.slice/session-2.scope", None);
        check("/", None);
        check("", None);
    }

    #[test]
    fn the_innermost_container_is_meant() {
        let inner = ID.replace('4', "5");
        let path = format!("/kubepods/pod1/{ID}/docker/{inner}");
        assert_eq!(identify(&path), Some((Runtime::Docker, inner)));
    }

    #[test]
    fn lxc_and_not_its_monitor() {
        check("/lxc.payload.web-1", Some((Runtime::Lxc, "web-1")));
        check("/lxc.payload.web-1/system.slice/ssh.service", Some((Runtime::Lxc, "web-1")));
        check("/lxc/web", Some((Runtime::Lxc, "web")));
        check("/lxc.monitor.web-1", None);
        check("/lxc.payload.a b", None);
    }

    #[test]
    fn nspawn_and_not_a_virtual_machine() {
        check("/machine.slice/systemd-nspawn@deb.service/payload", Some((Runtime::Nspawn, "deb")));
        check(r"/machine.slice/machine-my\x2ddeb.scope", Some((Runtime::Nspawn, "my-deb")));
        check(r"/machine.slice/machine-qemu\x2d1\x2dvm.scope", None);
        check("/system.slice/machine-x.scope", None);
        assert_eq!(unit_name(r"a\x2db\xzz\x2"), r"a-b\xzz\x2");
    }
}
