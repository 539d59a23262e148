//! The demo's services: a reference, and a candidate that is not there yet.
//!
//! Both answer `/api/{value}` for whole numbers. The candidate writes its keys in another order, which
//! is no difference; it doubles multiples of three wrongly, and breaks down on seven.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

/// The live service.
pub fn reference() -> Router {
    let hello = || async { "hello from the reference\n" };
    Router::new()
        .route("/api/{value}", get(reference_api))
        .fallback(get(hello))
}

/// The service under test.
pub fn candidate() -> Router {
    Router::new().route("/api/{value}", get(candidate_api))
}

/// Serves one of them.
pub async fn serve(listener: TcpListener, service: Router) -> std::io::Result<()> {
    axum::serve(listener, service).await
}

async fn reference_api(Path(value): Path<i64>) -> Response {
    let double = value.wrapping_mul(2);
    json(
        StatusCode::OK,
        format!(
            r#"{{"value":{value},"double":{double},"price":{{"amount":12.50,"currency":"EUR"}}}}"#
        ),
    )
}

async fn candidate_api(Path(value): Path<i64>) -> Response {
    if value == 7 {
        return json(
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"error":"seven is too much"}"#.to_owned(),
        );
    }
    let double = value
        .wrapping_mul(2)
        .wrapping_add(i64::from(value % 3 == 0));
    json(
        StatusCode::OK,
        format!(
            r#"{{ "price": {{ "currency": "EUR", "amount": 12.5 }}, "double": {double}, "value": {value} }}"#
        ),
    )
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
