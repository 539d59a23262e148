//! TLS on both sides of miffy: what it shows to clients and backends, and whom it believes.
//!
//! Certificates and keys are PEM files. A client of TLS is a [`ClientConfig`], a server's certificate is
//! read again whenever its files change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// Who a connection's end says it is: PEM files of a certificate, with those that signed it, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificates' file, the end's own first.
    pub certificate: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
}

/// Whom to believe that it is the server that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whoever the platform's certificates vouch for.
    Platform,
    /// Whoever the certificates in this PEM file vouch for, and nobody else.
    File(PathBuf),
    /// Anybody.
    Anybody,
}

/// How to be a client of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// Whom to believe.
    pub trust: Trust,
    /// What to answer a server that asks who its client is.
    pub identity: Option<Identity>,
}

/// Why files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("{} can't be read: {error}", file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} in PEM", file.display())]
    Content {
        /// Which one.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The certificate and the key, or the platform's certificates, can't be used.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Error {
    fn pem(file: &Path, what: &'static str, error: PemError) -> Self {
        let file = file.to_owned();
        match error {
            PemError::Io(error) => Self::File { file, error },
            _ => Self::Content { file, what },
        }
    }
}

impl Identity {
    /// The certificate with its key, which are known to belong together.
    pub fn load(&self) -> Result<CertifiedKey, Error> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| Error::pem(&self.key, "private key", error))?;
        let certificates = certificates(&self.certificate)?;
        Ok(CertifiedKey::from_der(certificates, key, &provider())?)
    }
}

impl ClientTls {
    /// What rustls needs, without any protocol of the application's to negotiate.
    pub fn config(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier: Arc<dyn ServerCertVerifier> = match &self.trust {
            Trust::Platform => Arc::new(Verifier::new(provider.clone())?),
            Trust::File(file) => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots(file)?, provider.clone());
                verifier.build().map_err(|error| {
                    rustls::Error::General(format!("{}: {error}", file.display()))
                })?
            }
            Trust::Anybody => Arc::new(Unverified(algorithms)),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Ok(match &self.identity {
            Some(identity) => {
                let resolver = rustls::sign::SingleCertAndKey::from(identity.load()?);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        })
    }
}

/// For a client that will need no TLS: it believes nobody.
pub fn unused() -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let what = "certificate";
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| Error::pem(file, what, error))?;
    if certificates.is_empty() {
        return Err(Error::pem(file, what, PemError::NoItemsFound));
    }
    Ok(certificates)
}

fn roots(file: &Path) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// Believes everybody, but still checks that the other side holds the key of what it shows.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// The certificate that is shown to clients, read again when its files change.
#[derive(Debug)]
pub struct ServerCertificate {
    identity: Identity,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    /// Reads the files for the first time.
    pub fn load(identity: Identity) -> Result<Self, Error> {
        let shown = RwLock::new(Arc::new(identity.load()?));
        Ok(Self { identity, shown })
    }

    /// Reads the files again; tells whether they hold another certificate now. If they are of no use, the
    /// one that is shown stays. To be called every few seconds: a look at small files is cheap, and sees
    /// what notifications miss on some file systems (Kubernetes' links, network mounts).
    pub fn reload(&self) -> Result<bool, Error> {
        let read = self.identity.load()?;
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let changed = read.cert != shown.cert;
        if changed {
            *shown = Arc::new(read);
        }
        Ok(changed)
    }

    /// What rustls needs to be a server that shows it, and offers HTTP/2 and HTTP/1.1.
    pub fn config(self: &Arc<Self>) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        Some(shown.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(identity: &Identity) {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(&identity.certificate, made.cert.pem()).expect("a file");
        std::fs::write(&identity.key, made.signing_key.serialize_pem()).expect("a file");
    }

    #[test]
    fn a_certificate_is_changed_for_another_and_for_nothing_less() {
        let directory = tempfile::tempdir().expect("a directory");
        let identity = Identity {
            certificate: directory.path().join("certificate.pem"),
            key: directory.path().join("key.pem"),
        };
        write(&identity);
        let certificate = ServerCertificate::load(identity.clone()).expect("it is there");
        let shown = || certificate.shown.read().expect("a lock").cert.clone();
        let first = shown();
        assert!(!certificate.reload().expect("it is there still"));

        std::fs::write(&identity.certificate, "-----BEGIN CERTIFICATE-----").expect("a file");
        let half = certificate.reload().expect_err("half a certificate");
        assert!(matches!(half, Error::Content { .. }), "{half}");
        std::fs::remove_file(&identity.certificate).expect("a file");
        let none = certificate.reload().expect_err("no certificate");
        assert!(matches!(none, Error::File { .. }), "{none}");
        assert_eq!(shown(), first);

        let key = std::fs::read(&identity.key).expect("a key");
        write(&identity);
        let new_key = std::fs::read(&identity.key).expect("a key");
        std::fs::write(&identity.key, key).expect("a file");
        let mismatch = certificate.reload().expect_err("another's key");
        assert!(matches!(mismatch, Error::Tls(_)), "{mismatch}");
        assert_eq!(shown(), first);

        std::fs::write(&identity.key, new_key).expect("a file");
        assert!(certificate.reload().expect("both are there"));
        assert_ne!(shown(), first);
    }
}
