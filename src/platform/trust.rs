//! Which servers a client takes for those that were meant. Without a word the system's authorities say so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// A larger file is no certificate.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Whom a client trusts.
#[derive(Clone, Default)]
pub enum Trust {
    /// Those for whom an authority of the system vouches.
    #[default]
    System,
    /// Those of a file; see [`Named`].
    Named(Arc<Named>),
    /// Anybody. For questions alone in which nothing is sent and nothing learnt that matters.
    Anybody,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Named(_) => "Named",
            Self::Anybody => "Anybody",
        })
    }
}

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("{} cannot be read ({cause}): make it readable for this user", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// There is no certificate in it that can be used.
    #[error("{} holds no certificate in PEM that can be used: it begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
}

/// The certificates of a file. A server that has the key of one of them is trusted under whatever name and until whatever date: it is
/// the very one that was meant, also where the certificate is signed by itself. Another one is trusted where one of them vouches for it
/// under the name that was asked for.
#[derive(Debug)]
pub struct Named {
    known: Vec<CertificateDer<'static>>,
    vouched: Arc<WebPkiServerVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// The certificates of a PEM file.
    ///
    /// # Errors
    /// The file cannot be read, or has none.
    pub fn of_file(path: &Path) -> Result<Self, TrustError> {
        let failed = |cause| TrustError::Read { path: path.to_owned(), cause };
        if std::fs::metadata(path).map_err(failed)?.len() > LARGEST_FILE {
            return Err(failed(std::io::Error::other("it is too large")));
        }
        let text = std::fs::read(path).map_err(failed)?;
        let none = || TrustError::NoCertificate(path.to_owned());
        let known: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|_| none())?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(known.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let vouched = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let vouched = vouched.map_err(|_| none())?;
        Ok(Self::Named(Arc::new(Named { known, vouched, algorithms })))
    }
}

impl Named {
    /// A client's side of TLS that trusts these alone.
    pub(super) fn config(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.dangerous().with_custom_certificate_verifier(self.clone()).with_no_client_auth())
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // That the server has its key is proved by the handshake's signature, below.
        if self.known.iter().any(|known| known == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.vouched.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn pem(der: &[u8]) -> String {
        let text = base64::prelude::BASE64_STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    fn trusting(certificate: &CertificateDer<'_>) -> Arc<Named> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.crt");
        std::fs::write(&path, pem(certificate)).expect("written");
        match Trust::of_file(&path).expect("sound") {
            Trust::Named(named) => named,
            other => panic!("{other:?}"),
        }
    }

    fn takes(named: &Named, shown: &CertificateDer<'_>, name: &'static str) -> bool {
        let name = ServerName::try_from(name).expect("a name");
        named
            .verify_server_cert(
                shown,
                &[],
                &name,
                &[],
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000)),
            )
            .is_ok()
    }

    #[test]
    fn the_very_certificate_is_taken_under_any_name_and_what_it_signed_under_its_own() {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("params");
        // As `openssl req -x509` makes them: an authority of its own.
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        let own = CertificateDer::from(issuer.der().to_vec());
        let named = trusting(&own);
        assert!(takes(&named, &own, "127.0.0.1"));
        let key = KeyPair::generate().expect("a key");
        let signed = CertificateParams::new(["keeper.example".to_owned()]).expect("params");
        let signed = signed.signed_by(&key, &issuer).expect("signed");
        assert!(takes(&named, signed.der(), "keeper.example"));
        assert!(!takes(&named, signed.der(), "other.example"));
        let stranger = rcgen::generate_simple_self_signed(["keeper.example".to_owned()]).expect("a certificate");
        assert!(!takes(&named, stranger.cert.der(), "keeper.example"));
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.crt");
        let missing = Trust::of_file(&path).expect_err("no file").to_string();
        assert!(missing.contains("ca.crt cannot be read"), "{missing}");
        for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).expect("written");
            let error = Trust::of_file(&path).expect_err("none").to_string();
            assert!(error.contains("holds no certificate"), "{error}");
        }
    }
}
