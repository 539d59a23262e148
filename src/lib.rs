//! miffy is a shadow-testing proxy.
//!
//! It stands in front of a live service (the *reference*), sends each request of a configured experiment
//! to a replacement under test (the *candidate*) as well, always answers with the reference's response,
//! and publishes every pair that differs to Kafka.
//!
//! # Layout
//!
//! ```text
//! client ─► proxy ─► reference ──────────► client      live path: streams, never waits
//!             │ tees
//!             ▼
//!          capture ─► shadow ─► candidate
//!                        │
//!                        ▼
//!                     compare ─► record ─► delivery ─► Kafka
//!                                             └─► spool while Kafka is away
//! ```
//!
//! - [`app`]: the composition root
//! - [`cli`]: the commands
//! - [`config`]: defaults, file and environment to valid settings
//! - [`experiment`]: what is tested
//! - [`matching`]: conditions on requests, and samples
//! - [`rewrite`]: what backends are sent instead
//! - [`hooks`]: what is plugged in, in code
//! - [`client`]: the client towards backends
//! - `http1`: HTTP/1.1 on the wire
//! - [`proxy`]: the live path
//! - [`capture`]: bounded copies of an exchange; where the live path and the shadow meet
//! - [`shadow`]: the candidate's side
//! - [`compare`]: whether two answers are alike
//! - [`content`]: what a body says it is, and its bytes without codings
//! - `json`: JSON as it is written
//! - [`redact`]: what may leave the process
//! - [`record`]: what is published
//! - [`delivery`]: the way to Kafka, and other sinks
//! - [`spool`]: a bounded queue on disk
//! - [`outcome`]: how a matched request can end
//! - [`outcomes`]: a line for each of them
//! - [`management`]: health, readiness, metrics, the administration
//! - [`telemetry`]: log and metrics
//! - [`threads`]: what requests are carried on
//! - [`tls`]: certificates, and whom to believe
//! - `librdkafka`: the one module with calls to C
//!
//! # Use
//!
//! `miffy` is a program, and this is what it is made of. A program of one's own builds an [`app::App`] and plugs
//! [`hooks::Hooks`] into it:
//!
//! ```
//! use http::Method;
//! use miffy::app::App;
//! use miffy::config::{Environment, Source, load_for_hooks};
//! use miffy::hooks::{Choice, Hooks};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let config = r#"
//!     reference = "http://127.0.0.1:3000"
//!     candidate = "http://127.0.0.1:3001"
//!     routes = [{ path = "/{*path}" }]
//!     kafka.enabled = false
//! "#;
//! let source = Source::Text(config.to_owned());
//! let mut settings = load_for_hooks(&source, &Environment::default())?.settings;
//! # settings.shutdown_delay = None;
//! // Free ports, as a test wants them.
//! settings.listen = ([127, 0, 0, 1], 0).into();
//! settings.management_listen = settings.listen;
//!
//! let hooks = Hooks::new()
//!     .choose(|request| Choice::from(request.method() == Method::GET))
//!     .finished(|exchange| println!("{exchange:?}"));
//! let app = App::bind(&settings, hooks.into())?;
//! println!("http://{}", app.address()?);
//! // It runs until this future ends; here, it does at once.
//! app.run(std::future::ready(())).await
//! # }
//! ```
//!
//! [`proxy`] and [`shadow`] don't know each other.

pub mod app;
pub mod capture;
pub mod cli;
pub mod client;
pub mod compare;
pub mod config;
pub mod content;
pub mod delivery;
pub mod experiment;
pub mod hooks;
mod http1;
mod json;
mod librdkafka;
pub mod management;
pub mod matching;
pub mod outcome;
pub mod outcomes;
pub mod proxy;
pub mod record;
pub mod redact;
pub mod rewrite;
pub mod shadow;
pub mod spool;
pub mod telemetry;
pub mod threads;
pub mod tls;
