//! Which server certificates a client accepts. By default, those of the system's certificate authorities.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The maximum size of a certificate file, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The certificates that a client trusts.
#[derive(Clone, Default)]
pub enum Trust {
    /// Certificates issued by an authority that the system trusts.
    #[default]
    System,
    /// The certificates of a file; see [`TrustedCertificates`].
    Certificates(Arc<TrustedCertificates>),
    /// Any certificate. Only for requests that send nothing secret and whose answer does not matter.
    AnyCertificate,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Certificates(_) => "Certificates",
            Self::AnyCertificate => "AnyCertificate",
        })
    }
}

/// A certificate file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("{} cannot be read ({cause}): make it readable for this user", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The file contains no usable certificate.
    #[error("{} holds no certificate in PEM that can be used: it begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
}

/// The certificates of a file.
///
/// A server that has the key of one of them is trusted under any name and after any date, even with a self-signed
/// certificate, since it is the intended server itself. Any other server is trusted if one of these certificates issued
/// its certificate for the requested name.
#[derive(Debug)]
pub struct TrustedCertificates {
    trusted: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// Reads the certificates of a PEM file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or contains no certificate.
    pub fn from_file(path: &Path) -> Result<Self, TrustError> {
        let failed = |cause| TrustError::Read { path: path.to_owned(), cause };
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
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
        Ok(Self::Certificates(Arc::new(TrustedCertificates { trusted: known, verifier: vouched, algorithms })))
    }
}

impl TrustedCertificates {
    /// Returns the TLS client configuration that trusts these certificates alone.
    pub(super) fn client_config(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.dangerous().with_custom_certificate_verifier(self.clone()).with_no_client_auth())
    }
}

impl ServerCertVerifier for TrustedCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The handshake's signature, verified below, proves that the server has its key.
        if self.trusted.iter().any(|known| known == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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

    fn trusting(certificate: &CertificateDer<'_>) -> Arc<TrustedCertificates> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.crt");
        std::fs::write(&path, pem(certificate)).expect("written");
        match Trust::from_file(&path).expect("sound") {
            Trust::Certificates(named) => named,
            other => panic!("{other:?}"),
        }
    }

    fn accepts(named: &TrustedCertificates, presented: &CertificateDer<'_>, name: &'static str) -> bool {
        let name = ServerName::try_from(name).expect("a name");
        named
            .verify_server_cert(
                presented,
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
        assert!(accepts(&named, &own, "127.0.0.1"));
        let key = KeyPair::generate().expect("a key");
        let signed = CertificateParams::new(["keeper.example".to_owned()]).expect("params");
        let signed = signed.signed_by(&key, &issuer).expect("signed");
        assert!(accepts(&named, signed.der(), "keeper.example"));
        assert!(!accepts(&named, signed.der(), "other.example"));
        let stranger = rcgen::generate_simple_self_signed(["keeper.example".to_owned()]).expect("a certificate");
        assert!(!accepts(&named, stranger.cert.der(), "keeper.example"));
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.crt");
        let missing = Trust::from_file(&path).expect_err("no file").to_string();
        assert!(missing.contains("ca.crt cannot be read"), "{missing}");
        for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).expect("written");
            let error = Trust::from_file(&path).expect_err("none").to_string();
            assert!(error.contains("holds no certificate"), "{error}");
        }
    }
}
