//! A service that answers `/items/{id}`. Everything but its price is noise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use uuid::{Builder, Uuid};

/// The reference's price of an item, in cents.
pub(crate) fn right_price(item: usize) -> usize {
    1999 + 100 * item
}

/// The candidate's, which is a cent too high for each seventh item.
pub(crate) fn wrong_price(item: usize) -> usize {
    right_price(item) + usize::from(item.is_multiple_of(7))
}

/// Starts an instance on a free port, and gives its URL.
pub(crate) async fn serve(seed: u64, price: fn(usize) -> usize) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let chance = Arc::new(Chance(AtomicU64::new(seed)));
    let answer = move |Path(item): Path<usize>| async move {
        let headers = [
            (CONTENT_TYPE.as_str(), "application/json".to_owned()),
            // Not compared, unless `compare.headers` names it.
            ("x-request-id", chance.uuid().to_string()),
        ];
        (headers, chance.body(item, price(item)))
    };
    let service = Router::new().route("/items/{id}", get(answer));
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(url)
}

/// Numbers in which nobody sees an order (`SplitMix64`), the same from the same seed.
struct Chance(AtomicU64);

impl Chance {
    fn body(&self, item: usize, cents: usize) -> String {
        let mut tags = ["garden", "metal", "outdoor", "sale", "tools"];
        tags.sort_by_cached_key(|_| self.number());
        let (euros, cents) = (cents / 100, cents % 100);
        let [minute, second, jitter] = [60, 60, 1000].map(|end| self.number() % end);
        let id = self.uuid();
        [
            format!(r#"{{"item":{item},"price":{euros}.{cents:02},"tags":{tags:?},"#),
            format!(r#""rating":4.250{jitter:03},"render_id":"{id}","#),
            format!(r#""rendered_at":"2026-11-21T10:{minute:02}:{second:02}Z"}}"#),
        ]
        .concat()
    }

    fn uuid(&self) -> Uuid {
        let bits = u128::from(self.number()) << 64 | u128::from(self.number());
        Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    fn number(&self) -> u64 {
        let n = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ (n >> 31)
    }
}
