//! One of something for each backend.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::BaseUrl;

/// What there is for each backend, by their origins, which are those of the configuration.
#[derive(Debug)]
pub(super) struct Origins<T>(Mutex<Known<T>>);

#[derive(Debug)]
struct Known<T> {
    all: HashMap<String, Arc<T>>,
    /// The one that was asked for last, which is often asked for next.
    last: Option<(String, Arc<T>)>,
}

impl<T> Default for Origins<T> {
    fn default() -> Self {
        Self(Mutex::new(Known {
            all: HashMap::new(),
            last: None,
        }))
    }
}

impl<T> Origins<T> {
    /// The one for this backend, which is made when it is first asked for.
    pub(super) fn of(&self, base: &BaseUrl, make: impl FnOnce() -> T) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &known.last {
            Some((origin, last)) if origin == base.origin() => last.clone(),
            _ => {
                let origin = base.origin().to_owned();
                let all = known.all.entry(origin.clone());
                let one = all.or_insert_with(|| Arc::new(make())).clone();
                known.last = Some((origin, one.clone()));
                one
            }
        }
    }
}
