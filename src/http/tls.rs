//! The certificate of the HTTP face: read from files, and read again when they change. A pair that cannot be used leaves the one
//! before in force.

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

/// The files are looked at so often, in real time.
const LOOKS_EVERY: Duration = Duration::from_secs(5);

/// A larger file is no certificate.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Where the certificate and its key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate, and those that lead from it to a root, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read ({cause}): make it readable for this user, or name another in [server.tls]", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// There is no certificate in it.
    #[error("{} holds no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// There is no key in it.
    #[error("{} holds no private key in PEM that can be used", .0.display())]
    NoKey(PathBuf),
    /// They cannot be used together.
    #[error("the certificate {} and its key cannot be used: {cause}", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// What the TLS library says.
        cause: rustls::Error,
    },
}

/// The certificate in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificate(watch::Receiver<Arc<ServerConfig>>);

type Content = (Vec<u8>, Vec<u8>);

impl Certificate {
    /// Reads it; the second is for [`follow_files`].
    pub fn open(files: &TlsFiles) -> Result<(Self, watch::Sender<Arc<ServerConfig>>), CertificateError> {
        let config = usable(files, &content(files)?)?;
        let (sender, receiver) = watch::channel(config);
        Ok((Self(receiver), sender))
    }

    /// What secures a connection that comes now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.borrow().clone())
    }
}

/// Puts a new pair in force when the files change, until `soft` is cancelled.
pub async fn follow_files(
    files: TlsFiles,
    in_force: Arc<watch::Sender<Arc<ServerConfig>>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    // What is in force was read a moment ago, or before a restart of this task: to take it over once more does no harm.
    let mut seen = None;
    loop {
        seen = look(&files, seen, &in_force);
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = RealTime::sleep(LOOKS_EVERY) => {}
        }
    }
}

/// Looks once; gives what is to be compared with the next time.
fn look(files: &TlsFiles, seen: Option<Content>, in_force: &watch::Sender<Arc<ServerConfig>>) -> Option<Content> {
    let found = match content(files) {
        Ok(found) if Some(&found) == seen.as_ref() => return seen,
        Ok(found) => found,
        Err(error) => {
            // Said once, unless it was readable meanwhile.
            if seen.is_some() {
                tracing::warn!(%error, "the certificate cannot be read; the one before stays in force");
            }
            return None;
        }
    };
    match usable(files, &found) {
        Ok(config) => {
            in_force.send_replace(config);
            tracing::info!(file = %files.certificate.display(), "the certificate is in force");
        }
        // The second of the two files may come in a moment.
        Err(error) => tracing::warn!(%error, "the certificate cannot be used; the one before stays in force"),
    }
    Some(found)
}

fn content(files: &TlsFiles) -> Result<Content, CertificateError> {
    Ok((read(&files.certificate)?, read(&files.key)?))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |cause| CertificateError::Read { path: path.to_owned(), cause };
    if std::fs::metadata(path).map_err(failed)?.len() > LARGEST_FILE {
        return Err(failed(std::io::Error::other("it is too large")));
    }
    std::fs::read(path).map_err(failed)
}

fn usable(files: &TlsFiles, (certificate, key): &Content) -> Result<Arc<ServerConfig>, CertificateError> {
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

    fn pair(name: &str) -> (String, String) {
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
        assert!(matches!(Certificate::open(&files), Err(CertificateError::Read { .. })));
        let (first, first_key) = pair("one.example");
        let (second, second_key) = pair("two.example");
        for (certificate, key) in [("", &*first_key), (&*first, ""), (&*first, &*second_key)] {
            write(&files, certificate, key);
            assert!(Certificate::open(&files).is_err(), "{certificate} {key}");
        }
        write(&files, &first, &first_key);
        let (certificate, sender) = Certificate::open(&files).expect("sound");
        let seen = look(&files, None, &sender);
        let before = certificate.0.borrow().clone();
        let seen = look(&files, seen, &sender);
        assert!(Arc::ptr_eq(&before, &certificate.0.borrow()), "nothing changed");
        write(&files, &second, &first_key);
        let seen = look(&files, seen, &sender);
        assert!(Arc::ptr_eq(&before, &certificate.0.borrow()), "half a pair is none");
        write(&files, &second, &second_key);
        let seen = look(&files, seen, &sender);
        let after = certificate.0.borrow().clone();
        assert!(!Arc::ptr_eq(&before, &after));
        std::fs::remove_file(&files.key).expect("removed");
        assert_eq!(look(&files, seen, &sender), None);
        assert!(Arc::ptr_eq(&after, &certificate.0.borrow()), "what is in force stays");
    }
}
