//! Names of containers, from the files in which runtimes keep their state.
//!
//! The files belong to root, but what stands in them may come from whoever started the container. Invariant: a file is
//! read up to a limit, anything unexpected in it means "no name", and only names that were found are remembered: a
//! runtime may write its file a moment after the container's first process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use hivewall_model::Container;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::container::{Runtime, identify};
use super::read::read_state;
use crate::privileges::Desk;

/// Longest state file that is read. Docker's are some 10 KiB; Podman's list has about 1 KiB for each container.
const STATE_BYTES_MAX: u64 = 4 << 20;
/// Containers remembered.
const CONTAINERS_MAX: usize = 4096;
/// Longest name that is kept, in characters.
const NAME_CHARS_MAX: usize = 256;
/// Namespaces of containerd that are looked into; ordinary hosts have one to three.
const NAMESPACES_MAX: usize = 32;
/// containerd's bundles, below the root.
const CONTAINERD_TASKS: &str = "run/containerd/io.containerd.runtime.v2.task";
/// Where Podman and CRI-O keep containers, below the root.
const STORAGES: [&str; 2] = ["var/lib/containers/storage", "run/containers/storage"];

/// `config.v2.json` of Docker.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "Name")]
    name: String,
}

/// `config.json` of an OCI bundle.
#[derive(Deserialize)]
struct OciConfig {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A line of the list that containers/storage keeps.
#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

/// What was found of containers, below one root directory.
pub(super) struct Containers {
    root: PathBuf,
    known: HashMap<String, Container>,
    order: VecDeque<String>,
}

impl Containers {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, known: HashMap::new(), order: VecDeque::new() }
    }

    /// The container of the first of these cgroup paths that is of one.
    pub(super) fn of<'a>(&mut self, paths: impl IntoIterator<Item = &'a str>) -> Option<Container> {
        paths.into_iter().find_map(|path| {
            let (runtime, id) = identify(path)?;
            if let Some(known) = self.known.get(&id) {
                return Some(known.clone());
            }
            let container = self.look(runtime, &id)?;
            if container.name.is_some() {
                self.remember(container.clone());
            }
            Some(container)
        })
    }

    fn remember(&mut self, container: Container) {
        let id = container.id.to_string();
        if self.known.insert(id.clone(), container).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > CONTAINERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn look(&self, runtime: Runtime, id: &str) -> Option<Container> {
        let tries: &[Runtime] = match runtime {
            // Their ids are their names.
            Runtime::Lxc | Runtime::Nspawn => {
                return Some(Container { runtime: runtime.name(), id: id.into(), name: Some(id.into()) });
            }
            Runtime::Kubepods | Runtime::Unknown => {
                &[Runtime::Containerd, Runtime::CriO, Runtime::Docker, Runtime::Podman]
            }
            Runtime::Docker => &[Runtime::Docker],
            Runtime::Podman => &[Runtime::Podman],
            Runtime::Containerd => &[Runtime::Containerd],
            Runtime::CriO => &[Runtime::CriO],
        };
        let found = tries.iter().find_map(|runtime| Some((*runtime, self.name(*runtime, id)?)));
        match (found, runtime) {
            (Some((runtime, name)), _) => Some(Container { runtime: runtime.name(), id: id.into(), name: Some(name) }),
            (None, Runtime::Unknown) => None,
            (None, runtime) => Some(Container { runtime: runtime.name(), id: id.into(), name: None }),
        }
    }

    fn name(&self, runtime: Runtime, id: &str) -> Option<Box<str>> {
        match runtime {
            Runtime::Docker => {
                let file = self.root.join("var/lib/docker/containers").join(id).join("config.v2.json");
                cleaned(parse::<DockerConfig>(&file)?.name.trim_start_matches('/'))
            }
            Runtime::Containerd => self.containerd(id),
            Runtime::CriO => self.storages().find_map(|storage| {
                let config: OciConfig =
                    parse(&storage.join("overlay-containers").join(id).join("userdata/config.json"))?;
                let part = |key: &str| config.annotations.get(key).map(String::as_str);
                in_pod(
                    part("io.kubernetes.cri-o.KubeName").or(part("io.kubernetes.pod.name")),
                    part("io.kubernetes.container.name"),
                )
            }),
            Runtime::Podman => self.podman(id),
            Runtime::Lxc | Runtime::Nspawn | Runtime::Kubepods | Runtime::Unknown => None,
        }
    }

    fn storages(&self) -> impl Iterator<Item = PathBuf> {
        STORAGES.iter().map(|storage| self.root.join(storage))
    }

    fn containerd(&self, id: &str) -> Option<Box<str>> {
        let namespaces = fs::read_dir(self.root.join(CONTAINERD_TASKS)).ok()?;
        namespaces.flatten().take(NAMESPACES_MAX).find_map(|namespace| {
            let config: OciConfig = parse(&namespace.path().join(id).join("config.json"))?;
            let part = |key: &str| config.annotations.get(key).map(String::as_str);
            let pod = part("io.kubernetes.cri.sandbox-name");
            // The container that only holds a pod's namespaces has no name of its own.
            let sandbox = (part("io.kubernetes.cri.container-type") == Some("sandbox")).then_some("pause");
            in_pod(pod, part("io.kubernetes.cri.container-name").or(sandbox)).or_else(|| cleaned(part("nerdctl/name")?))
        })
    }

    fn podman(&self, id: &str) -> Option<Box<str>> {
        self.storages().find_map(|storage| {
            ["containers.json", "volatile-containers.json"].into_iter().find_map(|list| {
                let stored: Vec<Stored> = parse(&storage.join("overlay-containers").join(list))?;
                let ours = stored.into_iter().find(|stored| stored.id == id)?;
                cleaned(ours.names.first()?)
            })
        })
    }
}

/// Kubernetes gives a container's name within its pod only.
fn in_pod(pod: Option<&str>, container: Option<&str>) -> Option<Box<str>> {
    match (pod, container) {
        (Some(pod), Some(container)) => cleaned(&format!("{pod}/{container}")),
        (None, Some(name)) => cleaned(name),
        _ => None,
    }
}

/// A name as it may be shown: bounded, and without what would upset a terminal or a log.
fn cleaned(name: &str) -> Option<Box<str>> {
    let kept: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    (!kept.is_empty()).then(|| kept.into())
}

fn parse<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let file = file.to_owned();
    let text = Desk::Processes.run(move || read_state(&file, STATE_BYTES_MAX)).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f66ad9a0b2e1f2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef012345";

    /// A root directory with these files, `ID` replaced, and what is found below it for one cgroup path.
    #[track_caller]
    fn check(files: &[(&str, &str)], path: &str, want: Option<(&'static str, Option<&str>)>) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name.replace("ID", ID));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text.replace("ID", ID)).unwrap();
        }
        let found = Containers::new(root.path().to_owned()).of([path.replace("ID", ID).as_str()]);
        assert_eq!(found.as_ref().map(|c| (c.runtime, c.name.as_deref())), want);
        assert!(found.is_none_or(|c| &*c.id == ID));
    }

    #[test]
    fn docker_tells_the_name_with_a_slash_before_it() {
        let file = "var/lib/docker/containers/ID/config.v2.json";
        let config = r#"{"State":{"Running":true,"Pid":77},"ID":"ID","Name":"/web-1","Config":{"Hostname":"h"}}"#;
        check(&[(file, config)], "/docker/ID", Some(("docker", Some("web-1"))));
        check(&[], "/docker/ID", Some(("docker", None)));
    }

    #[test]
    fn podman_keeps_one_list_and_a_volatile_one() {
        let list = r#"[{"id":"aa","names":["other"]},{"id":"ID","names":["db"],"image":"i","metadata":"{}"}]"#;
        let path = "/machine.slice/libpod-ID.scope";
        let storage = "var/lib/containers/storage/overlay-containers";
        check(&[(&format!("{storage}/containers.json"), list)], path, Some(("podman", Some("db"))));
        check(&[(&format!("{storage}/volatile-containers.json"), list)], path, Some(("podman", Some("db"))));
        check(&[(&format!("{storage}/containers.json"), "[]")], path, Some(("podman", None)));
    }

    #[test]
    fn containerd_tells_pod_and_container_or_the_name_that_nerdctl_gave() {
        let file = "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json";
        let pod = r#"{"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.container-name":"app",
            "io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-name":"shop-7d"}}"#;
        check(&[(file, pod)], "/kubepods.slice/cri-containerd-ID.scope", Some(("containerd", Some("shop-7d/app"))));
        check(&[(file, pod)], "/kubepods/pod1/ID", Some(("containerd", Some("shop-7d/app"))));
        let sandbox =
            r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"p"}}"#;
        check(&[(file, sandbox)], "/kubepods/pod1/ID", Some(("containerd", Some("p/pause"))));
        let file = "run/containerd/io.containerd.runtime.v2.task/default/ID/config.json";
        check(&[(file, r#"{"annotations":{"nerdctl/name":"x"}}"#)], "/default/ID", Some(("containerd", Some("x"))));
    }

    #[test]
    fn cri_o_keeps_the_bundle_in_its_storage() {
        let file = "var/lib/containers/storage/overlay-containers/ID/userdata/config.json";
        let config = r#"{"annotations":{"io.kubernetes.container.name":"app","io.kubernetes.pod.name":"shop"}}"#;
        check(&[(file, config)], "/kubepods.slice/crio-ID.scope", Some(("cri-o", Some("shop/app"))));
        check(&[(file, config)], "/kubepods/pod1/ID", Some(("cri-o", Some("shop/app"))));
    }

    #[test]
    fn a_directory_that_no_runtime_knows_is_no_container_and_a_pod_is_one_even_so() {
        check(&[], "/default/ID", None);
        check(&[], "/kubepods/pod1/ID", Some(("kubepods", None)));
        check(&[], "/user.slice", None);
    }

    #[test]
    fn hostile_state_files_give_no_name() {
        let file = "var/lib/docker/containers/ID/config.v2.json";
        let nested = "[".repeat(100_000);
        let long = format!(r#"{{"Name":"{}"}}"#, "x".repeat(STATE_BYTES_MAX as usize));
        for text in ["", "{", "null", r#"{"Name":7}"#, r#"{"Name":""}"#, "\u{0}", &nested, &long] {
            check(&[(file, text)], "/docker/ID", Some(("docker", None)));
        }
        check(&[(file, r#"{"Name":"/a\u001b[31m\n"}"#)], "/docker/ID", Some(("docker", Some("a[31m"))));
    }

    #[test]
    fn a_name_written_late_is_found_later_and_then_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = format!("/docker/{ID}");
        let mut containers = Containers::new(root.path().to_owned());
        assert_eq!(containers.of([path.as_str()]).unwrap().name, None);
        let dir = root.path().join("var/lib/docker/containers").join(ID);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.v2.json"), r#"{"Name":"/late"}"#).unwrap();
        assert_eq!(containers.of([path.as_str()]).unwrap().name.as_deref(), Some("late"));
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(containers.of(["/", path.as_str()]).unwrap().name.as_deref(), Some("late"));
    }
}
