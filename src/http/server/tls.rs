//! The server's certificate, read from files and again when they change. If the new pair cannot be used, the old one
//! stays in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ConfigBuilder, ServerConfig};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::clock::RealTime;

/// How often the files are checked, in real time.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The largest size of a file in bytes; a larger one is no certificate.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where the certificate and its key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The path of the certificate and its chain, as PEM.
    pub certificate: PathBuf,
    /// The path of the certificate's key, as PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read ({cause}): make it readable for this user, or name another in [server.tls]", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The file has no certificate.
    #[error("{} has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// The file has no key.
    #[error("{} has no usable private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// The certificate and the key cannot be used together.
    #[error("the certificate {} and its key cannot be used: {cause}", path.display())]
    Unusable {
        /// The path of the certificate.
        path: PathBuf,
        /// The error of the TLS library.
        cause: rustls::Error,
    },
}

/// The certificate in force. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificate(watch::Receiver<Arc<ServerConfig>>);

type PemPair = (Vec<u8>, Vec<u8>);

impl Certificate {
    /// Loads the certificate and its key. The sender is for [`watch_files`].
    pub fn load(files: &TlsFiles) -> Result<(Self, watch::Sender<Arc<ServerConfig>>), CertificateError> {
        let config = build_config(files, &read_pair(files)?)?;
        let (sender, receiver) = watch::channel(config);
        Ok((Self(receiver), sender))
    }

    /// Returns an acceptor with the certificate that is in force now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.borrow().clone())
    }
}

/// Puts a new certificate and key in force when the files change, until `soft` is cancelled.
pub async fn watch_files(
    files: TlsFiles,
    active_config: Arc<watch::Sender<Arc<ServerConfig>>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    // The pair in force was read a moment ago, or before a restart of this task, so loading it once more does no harm.
    let mut last_read = None;
    loop {
        last_read = reload_if_changed(&files, last_read, &active_config);
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = RealTime::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Checks the files once, and returns the pair to compare with next time.
fn reload_if_changed(
    files: &TlsFiles,
    last_read: Option<PemPair>,
    active_config: &watch::Sender<Arc<ServerConfig>>,
) -> Option<PemPair> {
    let current = match read_pair(files) {
        Ok(found) if Some(&found) == last_read.as_ref() => return last_read,
        Ok(found) => found,
        Err(error) => {
            // Log this once, unless the files could be read in between.
            if last_read.is_some() {
                tracing::warn!(%error, "the certificate cannot be read; the one before stays in force");
            }
            return None;
        }
    };
    match build_config(files, &current) {
        Ok(config) => {
            active_config.send_replace(config);
            tracing::info!(file = %files.certificate.display(), "the certificate is in force");
        }
        // The second of the two files may be written in a moment.
        Err(error) => tracing::warn!(%error, "the certificate cannot be used; the one before stays in force"),
    }
    Some(current)
}

fn read_pair(files: &TlsFiles) -> Result<PemPair, CertificateError> {
    Ok((read(&files.certificate)?, read(&files.key)?))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |cause| CertificateError::Read { path: path.to_owned(), cause };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
        return Err(failed(std::io::Error::other("it is too large")));
    }
    std::fs::read(path).map_err(failed)
}

fn build_config(files: &TlsFiles, (certificate, key): &PemPair) -> Result<Arc<ServerConfig>, CertificateError> {
    let path = || files.certificate.clone();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::NoCertificate(path()))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate(path()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey(files.key.clone()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(ConfigBuilder::<ServerConfig, _>::with_no_client_auth)
        .and_then(|builder| builder.with_single_cert(chain, key))
        .map_err(|cause| CertificateError::Unusable { path: path(), cause })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    fn certificate_and_key(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        (pem("CERTIFICATE", made.cert.der()), pem("PRIVATE KEY", &made.signing_key.serialize_der()))
    }

    fn pem(kind: &str, der: &[u8]) -> String {
        let text = base64::prelude::BASE64_STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
    }

    fn write(files: &TlsFiles, certificate: &str, key: &str) {
        std::fs::write(&files.certificate, certificate).expect("written");
        std::fs::write(&files.key, key).expect("written");
    }

    #[test]
    fn a_new_pair_is_taken_over_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        assert!(matches!(Certificate::load(&files), Err(CertificateError::Read { .. })));
        let (first, first_key) = certificate_and_key("one.example");
        let (second, second_key) = certificate_and_key("two.example");
        for (certificate, key) in [("", &*first_key), (&*first, ""), (&*first, &*second_key)] {
            write(&files, certificate, key);
            assert!(Certificate::load(&files).is_err(), "{certificate} {key}");
        }
        write(&files, &first, &first_key);
        let (certificate, sender) = Certificate::load(&files).expect("sound");
        let last_read = reload_if_changed(&files, None, &sender);
        let before = certificate.0.borrow().clone();
        let last_read = reload_if_changed(&files, last_read, &sender);
        assert!(Arc::ptr_eq(&before, &certificate.0.borrow()), "nothing changed");
        write(&files, &second, &first_key);
        let last_read = reload_if_changed(&files, last_read, &sender);
        assert!(Arc::ptr_eq(&before, &certificate.0.borrow()), "half a pair is none");
        write(&files, &second, &second_key);
        let last_read = reload_if_changed(&files, last_read, &sender);
        let after = certificate.0.borrow().clone();
        assert!(!Arc::ptr_eq(&before, &after));
        std::fs::remove_file(&files.key).expect("removed");
        assert_eq!(reload_if_changed(&files, last_read, &sender), None);
        assert!(Arc::ptr_eq(&after, &certificate.0.borrow()), "what is in force stays");
    }
}
