//! Certificates, and backends that speak TLS and HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// An authority, and what it signs, as files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    /// Its own certificate's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Signs a certificate for this name, and writes it and its key to `<name>.pem` and `<name>.key`.
    pub(crate) fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let subjects = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(subjects).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let place = |ending: &str| self.directory.path().join(format!("{name}.{ending}"));
        std::fs::write(place("pem"), certificate.pem()).unwrap();
        std::fs::write(place("key"), key.serialize_pem()).unwrap();
        (place("pem"), place("key"))
    }

    /// What takes connections over TLS, for what no HTTP server would do with them.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::new(self.server(&[], false)))
    }

    /// A server's configuration, which asks its clients for certificates of this authority if it is to.
    fn server(&self, alpn: &[&str], asks_clients: bool) -> rustls::ServerConfig {
        let (certificate, key) = self.sign("backend");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks_clients {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots(&self.file()).into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder
            .with_single_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// The certificates of a file, to believe in.
pub(crate) fn roots(file: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file).unwrap())
        .unwrap();
    roots
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) version: Version,
    /// What it said of its host, in the target or in a header.
    pub(crate) authority: String,
    pub(crate) headers: HeaderMap,
}

/// A backend that answers each request with its body, frame by frame, and trailers. It speaks HTTP/1.1 and
/// HTTP/2, over TLS if it is told to.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    server: Mutex<JoinHandle<()>>,
}

impl Echo {
    pub(crate) async fn plain() -> Self {
        Self::start(None).await
    }

    /// Over TLS, with these protocols to agree on (ALPN).
    pub(crate) async fn over_tls(authority: &Authority, alpn: &[&str]) -> Self {
        Self::start(Some(authority.server(alpn, false))).await
    }

    /// Over TLS, for clients that the authority knows.
    pub(crate) async fn for_known_clients(authority: &Authority) -> Self {
        Self::start(Some(authority.server(&["http/1.1"], true))).await
    }

    async fn start(tls: Option<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let (seen, connections) = (Arc::default(), Arc::default());
        let server = tokio::spawn(accept(
            listener,
            tls,
            Arc::clone(&seen),
            Arc::clone(&connections),
        ));
        Self {
            address,
            scheme,
            seen,
            connections,
            server: Mutex::new(server),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.server.lock().unwrap().abort();
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::Relaxed);
        let (tls, seen) = (tls.clone(), seen.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                seen.lock().unwrap().push(note(&request));
                async { Ok::<_, Infallible>(echo(request)) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            // Whoever is not believed, or believes nobody, hangs up.
            let _ended = match tls {
                None => {
                    builder
                        .serve_connection_with_upgrades(TokioIo::new(stream), service)
                        .await
                }
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => {
                        builder
                            .serve_connection_with_upgrades(TokioIo::new(stream), service)
                            .await
                    }
                    Err(_) => return,
                },
            };
        });
    }
}

fn note(request: &Request<Incoming>) -> Seen {
    let in_target = request.uri().authority().map(ToString::to_string);
    let in_header = request.headers().get("host").map(HeaderValue::to_str);
    Seen {
        version: request.version(),
        authority: in_target.unwrap_or_else(|| in_header.unwrap().unwrap().to_owned()),
        headers: request.headers().clone(),
    }
}

fn echo(request: Request<Incoming>) -> Response<BoxBody<Bytes, hyper::Error>> {
    let trailers = || async {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Some(Ok(trailers))
    };
    let body = request.into_body().map_frame(|frame| {
        // What came as trailers goes back as data, to be seen.
        frame.into_data().map_or_else(
            |frame| Frame::data(Bytes::from(format!("{:?}", frame.into_trailers().unwrap()))),
            Frame::data,
        )
    });
    let mut response = Response::new(BoxBody::new(body.with_trailers(trailers())));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}
