//! Access to the API of this agent, as configured: the host's token, users and the audit trail, TLS, names. Deliberately
//! not here: what any of it means, which is the API's.
//!
//! Invariant: beyond loopback there is TLS, or the agent does not start.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use hivewall_api::{Access, Tls, certificate_names};
use hivewall_config::{Config, Login};

use crate::exit::{Exit, ending};
use crate::token;

/// Access, and what the certificate is known by where TLS is spoken.
pub(crate) fn open(config: &Config) -> anyhow::Result<Access> {
    let mut access = token::access(token::file()).unwrap_or_else(|error| {
        tracing::warn!("the host's own token does not count: {error:#}");
        Access::none()
    });
    let directory = kept(config)?;
    if let Some(directory) = directory {
        let error;
        (access, error) = access.keep_in(directory);
        if let Some(error) = error {
            tracing::error!(%error, "no user can log in until this is mended");
        }
    }
    let allowed: Vec<String> = config.api.allowed_hosts.iter().map(ToString::to_string).collect();
    if let Some(tls) = tls(config, directory, &allowed)? {
        tracing::info!(
            certificate = %tls.certificate().display(),
            "the API speaks TLS; SHA-256 of its certificate: {}",
            tls.fingerprint()
        );
        access = access.tls(tls);
    }
    Ok(access.hosts(allowed).always(config.api.login == Login::Always))
}

/// Where users are kept. Whoever may not make it on a host that nobody else reaches does without: who lacks privileges is told so by
/// what captures packets, and in its words.
fn kept(config: &Config) -> anyhow::Result<Option<&Path>> {
    let directory = Path::new(&config.api.directory);
    if directory.as_os_str().is_empty() {
        return Ok(None);
    }
    match DirBuilder::new().recursive(true).mode(0o700).create(directory) {
        Ok(()) => Ok(Some(directory)),
        Err(error)
            if error.kind() == std::io::ErrorKind::PermissionDenied
                && config.api.listen.ip().to_canonical().is_loopback() =>
        {
            tracing::warn!(%error, "no users are kept: {} cannot be made", directory.display());
            Ok(None)
        }
        Err(error) => {
            let why = format!("{} cannot be made, where users are kept", directory.display());
            Err(anyhow::Error::new(error).context(why))
        }
    }
}

/// None where plain HTTP is served.
fn tls(config: &Config, directory: Option<&Path>, allowed: &[String]) -> anyhow::Result<Option<Tls>> {
    let address = config.api.listen.ip().to_canonical();
    if !config.api.tls_cert.is_empty() {
        let files = [&config.api.tls_cert, &config.api.tls_key].map(PathBuf::from);
        let [certificate, key] = files;
        return Ok(Some(Tls::of_files(certificate, key)?));
    }
    if address.is_loopback() {
        return Ok(None);
    }
    let Some(directory) = directory else {
        let what = "api.listen can be reached from other hosts, and there is no certificate: set api.directory, where \
                    one is made, or api.tls_cert and api.tls_key";
        return Err(ending(Exit::Usage, what));
    };
    let host = crate::system::host_info(&config.agent.name).name;
    let mut names = vec![host];
    names.extend_from_slice(allowed);
    if address.is_unspecified() {
        match if_addrs::get_if_addrs() {
            Ok(all) => names.extend(all.into_iter().map(|interface| interface.ip().to_string())),
            Err(error) => bail!("the addresses of this host cannot be listed: {error}"),
        }
    }
    // A name that no certificate can hold is left out rather than the certificate.
    names.retain(|name| name.is_ascii() && !name.contains(char::is_whitespace));
    Ok(Some(Tls::self_signed(directory, &certificate_names(address, names))?))
}
