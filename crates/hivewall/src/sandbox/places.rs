//! The files and directories that the settings name, as far as parts of the agent are confined to them.
//!
//! Invariant: a directory that the agent would make later is made before anybody is confined to it, as its owner alone may
//! see it.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hivewall_config::{Backend, Config, Enforcement};
use hivewall_host::policy::Pins;
use hivewall_host::rules::load_iptables;

/// Held by iptables while it changes something (iptables(8)); `XTABLES_LOCKFILE` names another.
const XTABLES_LOCK: &str = "/run/xtables.lock";
/// Where programs without input or output have theirs.
const NULL: &str = "/dev/null";

/// Where the parts work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    log: Option<PathBuf>,
    history: Option<PathBuf>,
    state: Option<PathBuf>,
    /// Folder for pins, where a policy may need it.
    pins: Option<PathBuf>,
    iptables: bool,
    fleet: Option<PathBuf>,
    alerts: Option<PathBuf>,
    export: Option<PathBuf>,
    access: Option<PathBuf>,
    /// Directories with the certificate and key of the API: files there may be put into the place of these.
    tls: Vec<PathBuf>,
}

impl Places {
    /// As configured.
    pub(crate) fn of(config: &Config) -> Self {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        let state = path(&config.policy.state);
        let is_ebpf = config.capture.backend != Backend::AfPacket;
        Self {
            log: config.log.file().map(Path::to_path_buf),
            history: config.history.directory().map(Path::to_path_buf),
            pins: path(&config.policy.pins).filter(|_| is_ebpf && state.is_some()),
            iptables: state.is_some() && config.policy.backend == Enforcement::Iptables,
            state,
            fleet: path(&config.fleet.directory),
            export: path(&config.export.directory).filter(|_| !config.export.targets.is_empty()),
            alerts: path(&config.alerts.directory).filter(|_| config.detect.enabled),
            access: path(&config.api.directory).filter(|_| config.api.enabled),
            tls: [&config.api.tls_cert, &config.api.tls_key].into_iter().flat_map(|file| around(file)).collect(),
        }
    }

    /// Of a program that only writes a log.
    pub(crate) fn of_log(log: Option<&Path>) -> Self {
        Self { log: log.map(Path::to_path_buf), ..Self::default() }
    }

    /// Makes what is not there yet. What cannot be made is told where it is needed.
    pub(crate) fn make(&self) {
        for directory in self
            .history
            .iter()
            .chain(&self.state)
            .chain(&self.fleet)
            .chain(&self.alerts)
            .chain(&self.export)
            .chain(&self.access)
        {
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        }
        if let Some(pins) = &self.pins
            && let Err(error) = Pins::at(pins).mount()
        {
            tracing::warn!(%error, "a policy cannot outlive the agent here");
        }
        if self.iptables {
            let _ = OpenOptions::new().create(true).append(true).mode(0o600).open(lock());
            // Modules of the kernel cannot be loaded later.
            load_iptables();
        }
    }

    /// The file system of pins: their folder comes and goes.
    pub(super) fn pins(&self) -> Vec<PathBuf> {
        self.pins.iter().filter_map(|pins| pins.parent()).map(Path::to_path_buf).collect()
    }

    /// What packet filters' programs write to.
    pub(super) fn tools() -> Vec<PathBuf> {
        vec![NULL.into(), lock()]
    }

    pub(super) fn policy(&self) -> Vec<PathBuf> {
        self.pins().into_iter().chain(self.state.clone()).chain(Self::tools()).collect()
    }

    /// A file's directory, since it is put aside and begun anew; of a pipe or device, only itself.
    pub(super) fn log(&self) -> Vec<PathBuf> {
        let Some(file) = &self.log else { return Vec::new() };
        let is_ordinary = std::fs::metadata(file).map_or(true, |found| found.is_file());
        let directory = file.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
        let directory = directory.filter(|_| is_ordinary && !file.starts_with("/dev") && !file.starts_with("/proc"));
        // The end of links, too.
        let end = std::fs::canonicalize(file).ok();
        directory.map(Path::to_path_buf).into_iter().chain(end).chain((!is_ordinary).then(|| file.clone())).collect()
    }

    pub(super) fn history(&self) -> Vec<PathBuf> {
        self.history.iter().cloned().collect()
    }

    pub(super) fn fleet(&self) -> Vec<PathBuf> {
        self.fleet.iter().cloned().collect()
    }

    pub(super) fn export(&self) -> Vec<PathBuf> {
        self.export.iter().cloned().collect()
    }

    pub(super) fn alerts(&self) -> Vec<PathBuf> {
        self.alerts.iter().cloned().collect()
    }

    /// Time zones, for times that are shown.
    pub(super) fn zones() -> Vec<PathBuf> {
        vec!["/usr/share/zoneinfo".into(), "/etc/localtime".into()]
    }

    /// Logs of logins, and time zones.
    pub(super) fn logs_and_zones() -> Vec<PathBuf> {
        std::iter::once("/var/log".into()).chain(Self::zones()).collect()
    }

    pub(super) fn access(&self) -> Vec<PathBuf> {
        self.access.iter().cloned().collect()
    }

    /// What the API reads.
    pub(super) fn api(&self) -> Vec<PathBuf> {
        self.history().into_iter().chain(self.tls.clone()).chain(Self::zones()).collect()
    }
}

/// The directories of a file and of what it is a link to.
fn around(file: &str) -> Vec<PathBuf> {
    let end = std::fs::canonicalize(file).ok();
    let files = [Some(PathBuf::from(file)), end].into_iter().flatten();
    files.filter_map(|file| file.parent().map(Path::to_path_buf)).filter(|path| !path.as_os_str().is_empty()).collect()
}

fn lock() -> PathBuf {
    std::env::var_os("XTABLES_LOCKFILE").map_or_else(|| XTABLES_LOCK.into(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_confined_to_its_directory_and_a_device_to_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("eve.json");
        let of = |file: &Path| Places::of_log(Some(file)).log();
        assert_eq!(of(&file), [directory.path()]);
        assert_eq!(of(Path::new("eve.json")), [Path::new(".")]);
        let device = of(Path::new("/dev/null"));
        assert!(device.iter().all(|path| path == Path::new("/dev/null")) && !device.is_empty(), "{device:?}");
        assert!(Places::of_log(None).log().is_empty());
    }

    #[test]
    fn the_api_reaches_its_users_and_certificates_wherever_these_are() {
        let directory = tempfile::tempdir().unwrap();
        let (live, archive) = (directory.path().join("live"), directory.path().join("archive"));
        for path in [&live, &archive] {
            std::fs::create_dir(path).unwrap();
        }
        std::fs::write(archive.join("cert1.pem"), "").unwrap();
        std::os::unix::fs::symlink(archive.join("cert1.pem"), live.join("cert.pem")).unwrap();
        let mut config = Config::default();
        config.api.directory = directory.path().join("access").display().to_string();
        config.api.tls_cert = live.join("cert.pem").display().to_string();
        let places = Places::of(&config);
        assert_eq!(places.access(), [directory.path().join("access")]);
        assert!(places.api().contains(&live) && places.api().contains(&archive.canonicalize().unwrap()));
        config.api.enabled = false;
        assert!(Places::of(&config).access().is_empty());
    }

    #[test]
    fn the_directories_of_the_settings_are_made_before_anybody_is_confined_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.history.directory = directory.path().join("a/history").display().to_string();
        config.policy.state = directory.path().join("b/policy").display().to_string();
        config.policy.pins = String::new();
        let places = Places::of(&config);
        places.make();
        assert!(places.history().iter().all(|path| path.is_dir()));
        assert!(places.policy().contains(&directory.path().join("b/policy")));
        assert!(places.pins().is_empty());
    }
}
