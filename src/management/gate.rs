//! Who is let in to the administration.

use std::fmt;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::error::Unspecified;
use ring::hmac;
use ring::rand::SystemRandom;

use crate::config::Admin;

/// Lets in who knows the token, if there is one. It can be given another lock while it is used.
#[derive(Default)]
pub struct Gate(ArcSwapOption<Lock>);

/// What a token opens.
///
/// Tokens are compared by their HMAC under a key of the lock, which takes as long whatever they have in common.
pub struct Lock {
    key: hmac::Key,
    tag: hmac::Tag,
}

/// No key can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no randomness")]
pub struct NoRandomness;

/// What becomes of somebody at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is nothing behind it.
    Nothing,
    /// They show no token.
    Unknown,
    /// They show another one.
    Refused,
    /// They may come in.
    Granted,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

impl Gate {
    /// What the configured token opens; `None` without one.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn lock(admin: Option<&Admin>) -> Result<Option<Lock>, NoRandomness> {
        let lock = |admin: &Admin| {
            let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
            let key = key.map_err(|Unspecified| NoRandomness)?;
            let tag = hmac::sign(&key, admin.token.expose().as_bytes());
            Ok(Lock { key, tag })
        };
        admin.map(lock).transpose()
    }

    /// Has this lock from now on. Without one, nobody is let in, nor told that there is a gate.
    pub fn set(&self, lock: Option<Lock>) {
        self.0.store(lock.map(std::sync::Arc::new));
    }

    /// Whether a request comes in.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Admission {
        let Some(lock) = &*self.0.load() else {
            return Admission::Nothing;
        };
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        // Of several, nobody could say which one is meant.
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            return Admission::Unknown;
        };
        let Some(token) = bearer(shown.as_bytes()) else {
            return Admission::Unknown;
        };
        match hmac::verify(&lock.key, token, lock.tag.as_ref()) {
            Ok(()) => Admission::Granted,
            Err(Unspecified) => Admission::Refused,
        }
    }
}

/// The token of bearer credentials (RFC 6750 §2.1, RFC 9110 §11.4).
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked("bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::{Environment, Source, load};

    fn admit(gate: &Gate, shown: &[&str]) -> Admission {
        let value = |shown: &&str| HeaderValue::from_str(shown).expect("a value");
        let headers = shown.iter().map(|it| (AUTHORIZATION, value(it))).collect();
        gate.admit(&headers)
    }

    #[test]
    fn only_the_token_opens_it() {
        let gate = Gate::default();
        let right = "Bearer 0123456789abcdef";
        assert_eq!(admit(&gate, &[right]), Admission::Nothing);
        let source = Source::Text("admin.token = \"0123456789abcdef\"".to_owned());
        let loaded = load(&source, &Environment::default()).expect("it is valid");
        let lock = Gate::lock(loaded.settings.admin.as_ref()).expect("randomness");
        gate.set(lock);
        for shown in [right, "bearer  0123456789abcdef"] {
            assert_eq!(admit(&gate, &[shown]), Admission::Granted, "{shown}");
        }
        for shown in [
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789abcde",
            "Bearer ",
        ] {
            assert_eq!(admit(&gate, &[shown]), Admission::Refused, "{shown}");
        }
        for shown in [
            &[][..],
            &["0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["Bearer0123456789abcdef"],
            &[right, right],
            &[""],
        ] {
            assert_eq!(admit(&gate, shown), Admission::Unknown, "{shown:?}");
        }
        gate.set(None);
        assert_eq!(admit(&gate, &[right]), Admission::Nothing);
    }
}
