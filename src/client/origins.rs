//! One of something for each backend.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::BaseUrl;

/// What there is for each backend, by their origins, which are those of the configuration.
#[derive(Debug)]
pub(super) struct Origins<T>(Mutex<HashMap<String, Arc<T>>>);

impl<T> Default for Origins<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Origins<T> {
    /// The one for this backend, which is made when it is first asked for.
    pub(super) fn of(&self, base: &BaseUrl, make: impl FnOnce() -> T) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = all.get(base.origin()) {
            return one.clone();
        }
        let one = Arc::new(make());
        all.insert(base.origin().to_owned(), one.clone());
        one
    }
}
