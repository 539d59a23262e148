//! Base URLs of backends.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::host::literal_ip;

/// Where a backend is: scheme, host and port, and a path that goes before every target.
///
/// Holds no trailing slash, query, fragment or user information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Both together.
    origin: String,
    prefix: String,
}

impl BaseUrl {
    /// Whether the backend is reached over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and port as written, `example.com:8080`.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Scheme, host and port, `http://example.com:8080` (RFC 6454 §6.2, but as written).
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The target that is asked for, its bytes unchanged behind the base's path.
    ///
    /// Fails when the two together are longer than a URI may be (64 KiB).
    pub fn target(&self, target: &PathAndQuery) -> Result<PathAndQuery, http::Error> {
        // That of an absolute one may be without a path, which is to be sent as `/` (RFC 9112 §3.2.1); it is shown so.
        let has_path = !target.as_str().starts_with('?');
        if self.prefix.is_empty() && has_path || target == "*" {
            return Ok(target.clone());
        }
        let joined = Bytes::from(format!("{}{target}", self.prefix));
        Ok(PathAndQuery::from_maybe_shared(joined)?)
    }

    /// The URI of `target` at this backend, its bytes unchanged behind the base's path.
    ///
    /// Fails when the two together are longer than a URI may be (64 KiB).
    pub fn join(&self, target: &PathAndQuery) -> Result<Uri, http::Error> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(self.target(target)?);
        Ok(Uri::from_parts(parts)?)
    }

    /// Whether a server that listens there would be asked itself. Names other than `localhost` are not
    /// looked up.
    pub(super) fn leads_to(&self, listen: SocketAddr) -> bool {
        let default = if self.is_https() { 443 } else { 80 };
        let port = self.authority.port_u16().unwrap_or(default);
        let is_here = |ip: IpAddr| {
            ip == listen.ip()
                || (ip.is_loopback() || ip.is_unspecified()) && listen.ip().is_unspecified()
        };
        port == listen.port() && literal_ip(self.authority.host()).is_some_and(is_here)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.prefix)
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            // Not even in a message.
            return Err("has a user name or password in it, which would be lost; \
                        let clients send an authorization header instead"
                .to_owned());
        }
        if !text.contains("://") {
            return Err(format!(
                "\"{text}\" has no scheme; write http://{text} or https://{text}"
            ));
        }
        if text.contains(['?', '#']) {
            return Err(format!(
                "\"{text}\" has a query or fragment, which a base URL can't have"
            ));
        }
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("\"{text}\" is not a URL: {error}"))?;
        let http::uri::Parts {
            scheme: Some(scheme),
            authority: Some(authority),
            path_and_query,
            ..
        } = uri.into_parts()
        else {
            return Err(format!("\"{text}\" is not a URL with a scheme and a host"));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(format!("\"{text}\" is neither http:// nor https://"));
        }
        if authority.host().is_empty() {
            return Err(format!("\"{text}\" has no host"));
        }
        // Without a number, the connection would go to port 80.
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(format!(
                "\"{text}\" has no port number, 1 to 65535, behind its colon"
            ));
        }
        let path = path_and_query.as_ref().map_or("", PathAndQuery::path);
        Ok(Self {
            origin: format!("{scheme}://{authority}"),
            scheme,
            authority,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(base: &str, target: &'static str) -> String {
        let base: BaseUrl = base.parse().expect("a base URL");
        let target = PathAndQuery::from_static(target);
        base.join(&target).expect("a URI").to_string()
    }

    #[test]
    fn a_target_follows_the_base_unchanged() {
        assert_eq!(join("http://a:1", "/x?y=1"), "http://a:1/x?y=1");
        assert_eq!(join("http://a:1/", "/x/../%2e"), "http://a:1/x/../%2e");
        assert_eq!(join("https://a/v1/", "//x?"), "https://a/v1//x?");
    }

    #[test]
    fn the_asterisk_target_survives() {
        for base in ["http://a", "http://a/v1"] {
            let base: BaseUrl = base.parse().expect("a base URL");
            let uri = base.join(&PathAndQuery::from_static("*")).expect("a URI");
            assert_eq!(uri.path_and_query().map(PathAndQuery::as_str), Some("*"));
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_its_reason() {
        for (text, reason) in [
            ("localhost:3000", "no scheme"),
            ("ftp://a", "neither http"),
            ("http://a?x=1", "query"),
            ("http://a#x", "fragment"),
            ("http://", "not a URL"),
            ("http://a b", "not a URL"),
            ("http://user:secret@a", "user name"),
            ("user:secret@a?x", "user name"),
            ("http://a:99999", "no port number"),
            ("http://a:port", "no port number"),
            ("http://a:", "no port number"),
            ("http://[::1]:0", "no port number"),
        ] {
            let error = text.parse::<BaseUrl>().expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
